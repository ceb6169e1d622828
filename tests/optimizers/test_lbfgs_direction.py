"""The L-BFGS direction against the dense matrix, what the memory keeps, and hostile gradients."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from tests import reference_lbfgs
from tests.double import enable_x64
from tests.transforms.along import run

N = 12


def walk(steps: int, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Parameters that wander, and their gradients on a quadratic whose curvatures span so much; exact in float32.

    One step in ten has noise on its gradient, so that some pairs have a negative curvature; one in fifty stands still.
    """
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((N, N)))
    a = q @ np.diag(np.logspace(0, np.log10(span), N)) @ q.T
    moves = rng.standard_normal((steps, N)) * 10.0 ** rng.uniform(-1, 1, (steps, 1)) * (rng.random((steps, 1)) > 0.02)
    ws = np.cumsum(moves, 0).astype(np.float32)
    noise = span * rng.standard_normal((steps, N)) * 10 * (rng.random((steps, 1)) < 0.1)
    gs = (ws.astype(np.float64) @ a + noise).astype(np.float32)
    still = ~moves.any(1)
    gs[still] = np.roll(gs, 1, 0)[still]
    return ws, gs


def worst(got, want) -> float:
    """The largest error of a step, relative to the length of the step."""
    error = np.linalg.norm(np.asarray(got, np.float64) - want, axis=1)
    return float(np.max(error / np.linalg.norm(want, axis=1)))


@pytest.mark.parametrize(("memory_size", "scaled"), [(1, True), (3, False), (10, True)])
class TestDirection:
    def test_float32(self, memory_size, scaled):
        ws, gs = walk(1000, 1e3)
        want = reference_lbfgs.directions(ws.astype(np.float64), gs.astype(np.float64), memory_size, scaled)
        assert worst(run(gradtx.scale_by_lbfgs(memory_size, scaled), ws, gs)[0], want) <= 2e-4

    def test_float64(self, memory_size, scaled):
        ws, gs = walk(300, 1e3)
        want = reference_lbfgs.directions(ws.astype(np.longdouble), gs.astype(np.longdouble), memory_size, scaled)
        with enable_x64(True):
            tx = gradtx.scale_by_lbfgs(memory_size, scaled)
            got, _ = run(tx, ws.astype(np.float64), gs.astype(np.float64))
            assert got.dtype == jnp.float64
        assert worst(got, want.astype(np.float64)) <= 1e-12


@functools.cache
def jitted(tx):
    return jax.jit(tx.update)


def steps(tx, rows):
    """The updates and the last state for some rows of parameters and gradients, written as lists."""
    rows = [(jnp.asarray(w, jnp.float32), jnp.asarray(g, jnp.float32)) for w, g in rows]
    state, history = tx.init(rows[0][0]), []
    for w, g in rows:
        u, state = jitted(tx)(g, state, w)
        history.append(u)
    return history, state


def test_the_docstring_states_the_bound():
    assert "Within 2e-4 of exact arithmetic" in " ".join(gradtx.scale_by_lbfgs.__doc__.split())


def test_the_first_step_has_at_most_length_one():
    for size, expected in ((5.0, 1.0), (0.25, 0.25)):
        (u,), _ = steps(gradtx.scale_by_lbfgs(), [([0.0, 0.0], [size, 0.0])])
        np.testing.assert_allclose(u, [expected, 0.0], rtol=1e-6)
    (u,), _ = steps(gradtx.scale_by_lbfgs(scale_init_precond=False), [([0.0, 0.0], [5.0, 0.0])])
    np.testing.assert_allclose(u, [5.0, 0.0], rtol=1e-6)


def test_negative_curvature_is_kept_out_of_the_memory():
    rows = [([1.0, 1.0], [1.0, 0.0]), ([2.0, 1.0], [0.5, 0.0])]
    (_, u), state = steps(gradtx.scale_by_lbfgs(3), rows)
    np.testing.assert_array_equal(state.weights_memory, [0.0, 0.0, 0.0])
    assert int(state.slot) == 0
    np.testing.assert_allclose(u, [0.5, 0.0], rtol=1e-6)


def test_a_pair_that_is_skipped_leaves_the_memory_as_it_was():
    rows = [([0.0, 0.0], [0.0, 0.0]), ([1.0, 1.0], [4.0, 1.0]), ([2.0, 1.0], [3.0, 1.0])]
    _, before = steps(gradtx.scale_by_lbfgs(2), rows[:2])
    _, after = steps(gradtx.scale_by_lbfgs(2), rows)
    for name in ("slot", "diff_params_memory", "diff_updates_memory", "weights_memory"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(after.params, [2.0, 1.0])
    np.testing.assert_array_equal(after.updates, [3.0, 1.0])


def test_the_memory_goes_round():
    ws, gs = walk(8, 10.0)
    _, state = run(gradtx.scale_by_lbfgs(3), ws, gs)
    _, longer = run(gradtx.scale_by_lbfgs(20), ws, gs)
    kept = int(longer.slot)
    assert 3 < kept < 8  # more pairs than places, and one that was skipped
    want = {k % 3: longer.diff_params_memory[k] for k in range(kept - 3, kept)}
    np.testing.assert_allclose(state.diff_params_memory, [want[k] for k in range(3)], rtol=1e-5)
    assert int(state.slot) == kept % 3


def test_pairs_are_stored_with_a_product_of_one_and_their_own_scale():
    _, state = steps(gradtx.scale_by_lbfgs(1), [([0.0, 0.0], [0.0, 0.0]), ([3.0, 1.0], [6.0, 4.0])])
    s, y = state.diff_params_memory[0], state.diff_updates_memory[0]
    np.testing.assert_allclose([s @ y, s[0] / s[1], y[0] / y[1]], [1.0, 3.0, 1.5], rtol=1e-6)
    np.testing.assert_allclose(state.weights_memory, [22.0 / 52.0], rtol=1e-6)


def test_standing_still_forgets_all_pairs():
    rows = [([0.0, 0.0], [0.0, 0.0]), ([1.0, 0.0], [4.0, 0.0]), ([1.0, 0.0], [4.0, 0.0])]
    history, state = steps(gradtx.scale_by_lbfgs(3), rows)
    np.testing.assert_allclose(history, [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(state.weights_memory, 0.0)
    rows = [*rows[:2], ([1.0, 0.0], [5.0, 0.0])]  # another gradient at the same place is no reason to forget
    assert np.count_nonzero(steps(gradtx.scale_by_lbfgs(3), rows)[1].weights_memory) == 1


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e12, 1e25])
def test_the_units_of_the_value_do_not_matter(size):
    ws, gs = walk(30, 10.0)
    got, _ = run(gradtx.scale_by_lbfgs(3), ws, gs * np.float32(size))
    want, _ = run(gradtx.scale_by_lbfgs(3), ws, gs)
    assert worst(got[5:], np.asarray(want[5:])) <= 2e-4


ENTRIES = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3)


@hypothesis.given(rows=st.lists(st.tuples(ENTRIES, ENTRIES), min_size=2, max_size=6), scaled=st.booleans())
def test_every_direction_leads_downhill(rows, scaled):
    history, state = steps(gradtx.scale_by_lbfgs(2, scaled), rows)
    for u, (_, g) in zip(history, rows, strict=True):
        u, g = np.asarray(u, np.float64), np.asarray(g)
        assert np.isfinite(u).all()
        size = np.linalg.norm(g)
        if size > 1e-30:
            assert u @ (g / size) > -1e-6 * np.linalg.norm(u)
    assert np.isfinite(state.weights_memory).all()


def test_a_gradient_of_nan_is_seen_and_leaves_the_memory_whole():
    ws, gs = walk(20, 10.0)
    gs[10] = np.nan
    got, state = run(gradtx.scale_by_lbfgs(3), ws, gs)
    assert np.isnan(got[10]).all()
    assert np.isfinite(np.delete(got, 10, 0)).all()
    assert np.isfinite(state.diff_updates_memory).all()


def test_a_tree_is_one_vector():
    ws, gs = walk(30, 10.0)

    def tree(x):
        parts = {"a": x[:, :2], "b": [x[:, 2:8].reshape(-1, 2, 3), x[:, 8]], "c": x[:, 9:]}
        return {**parts, "n": None, "i": np.arange(len(x))}

    got, state = run(gradtx.scale_by_lbfgs(3), tree(ws), tree(gs))
    want, _ = run(gradtx.scale_by_lbfgs(3), ws, gs)
    parts = [got["a"], got["b"][0].reshape(-1, 6), got["b"][1][:, None], got["c"]]
    assert worst(np.concatenate(parts, 1), want) <= 2e-5
    np.testing.assert_array_equal(got["i"], np.arange(30))
    assert state.params["n"] is None
    assert state.diff_params_memory["i"] is None
    assert state.diff_params_memory["b"][0].shape == (3, 2, 3)


def test_complex_entries_are_pairs_of_real_ones():
    ws, gs = walk(30, 10.0)
    got, _ = run(gradtx.scale_by_lbfgs(3), ws[:, :6] + 1j * ws[:, 6:], gs[:, :6] + 1j * gs[:, 6:])
    want, _ = run(gradtx.scale_by_lbfgs(3), ws, gs)
    assert worst(np.concatenate([got.real, got.imag], 1), want) <= 2e-5


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_parameters_and_gradients_are_read_exactly(dtype):
    ws, gs = (np.asarray(jnp.asarray(np.clip(x, -1e4, 1e4), dtype)) for x in walk(30, 10.0))
    got, state = run(gradtx.scale_by_lbfgs(3), ws, gs)
    want, _ = run(gradtx.scale_by_lbfgs(3), ws.astype(np.float32), gs.astype(np.float32))
    assert got.dtype == jnp.float32
    assert state.diff_params_memory.dtype == jnp.float32
    np.testing.assert_array_equal(got, want)


def test_parts_on_many_devices_are_one_vector():
    """Each has its part of the memory; the scalars are the same on all."""
    ws, gs = (np.concatenate([x, x[:, ::-1] / 2], 1) for x in walk(30, 10.0))

    def part(ws, gs):
        updates, state = run(gradtx.scale_by_lbfgs(3, axis_name="x"), ws, gs)
        return updates, state.diff_params_memory, state.weights_memory

    parts = (x.reshape(30, 8, 3) for x in (ws, gs))
    got, memory, weights = jax.vmap(part, 1, 1, axis_name="x")(*parts)
    want, state = run(gradtx.scale_by_lbfgs(3), ws, gs)
    assert worst(got.reshape(30, 24), np.asarray(want)) <= 2e-5
    np.testing.assert_allclose(memory.reshape(3, 24), state.diff_params_memory, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights, np.repeat(state.weights_memory[:, None], 8, 1), rtol=1e-5)


def test_on_an_explicit_mesh():
    """The numbers are those of one device, and the memory lies where the parameters are."""
    ws, gs = (np.concatenate([x, x[:, ::-1] / 2], 1) for x in walk(4, 10.0))
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    tx, where = gradtx.scale_by_lbfgs(2), NamedSharding(mesh, PartitionSpec("x"))
    want, _ = run(tx, ws, gs)
    state = tx.init(jax.device_put(ws[0], where))
    for w, g, u in zip(ws, gs, want, strict=True):
        got, state = jitted(tx)(jax.device_put(g, where), state, jax.device_put(w, where))
        np.testing.assert_allclose(got, u, rtol=1e-4, atol=1e-5)
    assert state.diff_params_memory.sharding.spec == PartitionSpec(None, "x")


def test_no_two_parts_of_the_state_are_one_buffer():
    tx, w = gradtx.scale_by_lbfgs(1), jnp.ones((1, 3))
    state = tx.init(w)
    _, state = jax.jit(tx.update, donate_argnums=1)(w, state, w)
    np.testing.assert_array_equal(state.params, w)


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match="memory_size must be at least 1; got 0"):
        gradtx.scale_by_lbfgs(0)
    tx = gradtx.scale_by_lbfgs()
    with pytest.raises(ValueError, match="scale_by_lbfgs needs the parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_each_leaf_keeps_its_own_width():
    with enable_x64(True):
        w = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones(2, jnp.float64), "c": jnp.ones(2, jnp.bfloat16)}
        tx = gradtx.scale_by_lbfgs(2)
        u, state = jax.jit(tx.update)(w, tx.init(w), w)
        assert [u[k].dtype for k in "abc"] == [jnp.float32, jnp.float64, jnp.float32]
        assert [state.diff_updates_memory[k].dtype for k in "abc"] == [jnp.float32, jnp.float64, jnp.float32]


@pytest.mark.parametrize(("cosine", "kept"), [(1e-8, False), (3e-4, False), (4e-4, True)])
def test_a_pair_of_almost_no_curvature_is_skipped(cosine, kept):
    rows = [([0.0, 0.0], [0.0, 0.0]), ([1.0, 0.0], [cosine, 1.0])]
    assert np.any(steps(gradtx.scale_by_lbfgs(2), rows)[1].weights_memory) == kept


@pytest.mark.parametrize(("scaled", "want"), [(True, 1.0), (False, 1e5)])
def test_where_the_product_overflows_the_step_is_the_first_one(scaled, want):
    rows = [([0.0], [0.0]), ([1e10], [1e-25]), ([1e10], [1e5])]
    history, _ = steps(gradtx.scale_by_lbfgs(2, scaled), rows)
    np.testing.assert_allclose(history[1:], [[1e10], [want]], rtol=1e-5)
