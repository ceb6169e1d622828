"""A watch changes nothing, and every number it keeps is that of a plain loop in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core.trees import is_none
from gradtx.inspection.readings import readings
from gradtx.inspection.sampling import kept, sample
from gradtx.inspection.watch import watch
from gradtx.inspection.watch_state import WatchState
from gradtx.sharding import state_shardings
from gradtx.testing.compare import same_bits

PARAMS = {"a": jnp.linspace(-1.0, 2.0, 24).reshape(6, 4), "b": [jnp.arange(1.0, 4.0), None], "n": jnp.asarray(3)}
RULE = {"every": 2, "window": 3, "sample": 4096, "bins": (-6.0, 2.0, 8)}


def gradients(steps, params=None, seed=0):
    rng = np.random.default_rng(seed)

    def leaf(p):
        ok = p is not None and jnp.issubdtype(p.dtype, jnp.inexact)
        return jnp.asarray(rng.normal(size=p.shape) * (rng.random(p.shape) < 0.8), p.dtype) if ok else None

    params = PARAMS if params is None else params
    return [jax.tree.map(leaf, params, is_leaf=is_none) for _ in range(steps)]


def walk(tx, grads, params=None, state=None, jit=True, **extra):
    """The states, the updates and the parameters of each step."""
    params = PARAMS if params is None else params
    state, update, out = tx.init(params) if state is None else state, tx.update, []
    update = jax.jit(update) if jit else update
    for g in grads:
        updates, state = update(g, state, params, **extra)
        out.append((updates, state, params))
        params = gradtx.apply_updates(params, updates)
    return out


def plain_loop(steps, rate=0.1, bound=1.0, b1=0.9, b2=0.999, eps=1e-8):
    """clip_by_global_norm and Adam in float64, with every reading of every step; one leaf after the other."""
    w = [np.asarray(x, np.float64) for x in (PARAMS["a"], PARAMS["b"][0])]
    m, v, before, rows = [0.0, 0.0], [0.0, 0.0], None, []
    for t, grads in enumerate(gradients(steps), 1):
        gs = [np.asarray(x, np.float64) for x in (grads["a"], grads["b"][0])]
        factor = min(1.0, bound / np.sqrt(sum((g**2).sum() for g in gs)))
        row, us = [], []
        for k, g in enumerate(gs):
            c = factor * g
            m[k], v[k] = b1 * m[k] + (1 - b1) * c, b2 * v[k] + (1 - b2) * c**2
            d = m[k] / (1 - b1**t) / (np.sqrt(v[k] / (1 - b2**t)) + eps)
            u, old = -rate * d, None if before is None else before[k]
            both = np.zeros(g.shape, bool) if old is None else (u != 0) & (old != 0)
            ratio = np.abs(u[g != 0]) / np.abs(g[g != 0])
            row.append(
                {
                    "grad_norm": np.linalg.norm(g),
                    "stage_norm": [np.linalg.norm(x) for x in (c, d, u)],
                    "update_rms": np.sqrt((u**2).mean()),
                    "update_to_weight": np.linalg.norm(u) / np.linalg.norm(w[k]),
                    "cosine_to_gradient": -(u * g).sum() / np.linalg.norm(u) / np.linalg.norm(g),
                    "cosine_to_previous": np.nan
                    if old is None
                    else (u * old).sum() / np.linalg.norm(u) / np.linalg.norm(old),
                    "sign_agreement": (np.sign(u) == np.sign(old))[both].mean() if both.any() else np.nan,
                    "clipped": float(factor < 1),
                    "nonfinite": 0.0,
                    "zeros": (g == 0).mean(),
                    "second_moment_min": v[k].min(),
                    "second_moment_max": v[k].max(),
                    "rate_counts": np.histogram(np.clip(np.log10(ratio + 1e-99), -6, 1.999), np.linspace(-6, 2, 9))[0],
                }
            )
            us.append(u)
            w[k] = w[k] + u
        rows.append(row)
        before = us
    return rows


CLIPPED_ADAM = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))


@pytest.mark.parametrize("jit", [True, False])
def test_every_reading_is_that_of_a_plain_loop(jit):
    """Also after the ring has gone round: of eight steps, the measured 2, 4 and 6 are left."""
    found = readings(walk(watch(CLIPPED_ADAM, **RULE), gradients(8), jit=jit)[-1][1])
    assert found.steps.tolist() == [2, 4, 6]
    assert found.names == ("a", "b/0")
    assert found.stages == ("clip_by_global_norm", "scale_by_adam", "scale_by_learning_rate")
    np.testing.assert_allclose(found.rate_edges, 10.0 ** np.linspace(-6, 2, 9))
    rows = plain_loop(8)
    for n, step in enumerate(found.steps):
        for g in range(2):
            for field, expected in rows[step][g].items():
                came = getattr(found, field)[n]
                came = came[:, g] if field == "stage_norm" else came[g]
                np.testing.assert_allclose(came, expected, rtol=2e-5, atol=1e-6, err_msg=f"{field} at {step}, {g}")


def test_the_first_step_has_no_update_before_it():
    found = readings(walk(watch(gradtx.sgd(0.1), every=1), gradients(2))[-1][1])
    assert found.steps.tolist() == [0, 1]
    assert np.isnan(found.cosine_to_previous[0]).all()
    assert np.isnan(found.sign_agreement[0]).all()
    assert np.isfinite(found.cosine_to_previous[1]).all()
    assert np.isnan(found.clipped).all()
    assert np.isnan(found.second_moment_max).all()
    np.testing.assert_allclose(found.cosine_to_gradient, 1.0, rtol=1e-6)


@pytest.mark.parametrize("every", [1, 2])
def test_updates_and_inner_state_are_those_without(every):
    grads = gradients(5)
    for (came, state, _), (u, inner, _) in zip(
        walk(watch(CLIPPED_ADAM, every=every), grads), walk(CLIPPED_ADAM, grads), strict=True
    ):
        same_bits("updates", came, u)
        same_bits("inner", state.inner, inner)


def test_a_group_of_leaves_that_are_not_trained_is_no_mistake():
    params = {"w": jnp.ones(2), "n": jnp.int32(3), "none": None}
    tx = watch(gradtx.sgd(0.1), every=1, groups={"w": "w", "others than w": ("n", "none")})
    grads = {"w": jnp.ones(2), "n": None, "none": None}
    seen = readings(tx.update(grads, tx.init(params), params)[1])
    np.testing.assert_array_equal(seen.update_to_weight[0] > 0, [True, False])


def test_groups_are_measured_as_one_leaf():
    grads = gradients(3)
    tx = watch(CLIPPED_ADAM, every=1, groups={"tail": "b"})
    found = readings(walk(tx, grads)[-1][1])
    assert found.names == ("tail", "others")
    whole = readings(walk(watch(CLIPPED_ADAM, every=1, groups={"all": "**"}), grads)[-1][1])
    alone = readings(walk(watch(CLIPPED_ADAM, every=1), grads)[-1][1])
    for field in ("grad_norm", "update_rms", "cosine_to_gradient", "cosine_to_previous", "second_moment_max", "zeros"):
        np.testing.assert_allclose(getattr(found, field), getattr(alone, field)[:, ::-1], rtol=1e-6)
    np.testing.assert_allclose(whole.grad_norm[:, 0], np.linalg.norm(alone.grad_norm, axis=1), rtol=1e-6)
    weights = alone.update_rms**2 * np.array([24, 3])
    np.testing.assert_allclose(whole.update_rms[:, 0], np.sqrt(weights.sum(1) / 27), rtol=1e-6)
    np.testing.assert_allclose(whole.rate_counts[:, 0], alone.rate_counts.sum(1))


def test_what_is_not_finite_is_counted():
    tx = watch(gradtx.clip_by_value(1.0), every=1)
    g = jnp.array([[jnp.nan, jnp.inf, 0.0, 3.0], [0.5, -2.0, 0.0, 1.0]])
    last = readings(tx.update(g, tx.init(g), jnp.ones((2, 4)))[1])
    assert last.nonfinite.item() == 2 / 8
    assert last.zeros.item() == 2 / 8
    assert last.clipped.item() == 3 / 6  # infinity, 3 and -2, of what is not 0
    assert last.rate_counts.sum() == 4


def test_norms_of_the_largest_and_smallest_gradients():
    for size in (1e-30, 1e25):
        tx, g = watch(gradtx.scale(1.0), every=1), jnp.full((8,), size)
        last = readings(jax.jit(tx.update)(g, tx.init(g), jnp.ones(8))[1])
        np.testing.assert_allclose(last.grad_norm.item(), size * np.sqrt(8), rtol=1e-5)
        np.testing.assert_allclose(last.cosine_to_gradient.item(), -1, rtol=1e-5)


def test_a_long_vector_is_summed_in_rows():
    g = jnp.full((2**20,), 0.1)
    tx = watch(gradtx.sgd(1.0), every=1)
    last = readings(jax.jit(tx.update)(g, tx.init(g), g)[1])
    np.testing.assert_allclose(last.grad_norm.item(), float(np.float32(0.1)) * 1024, rtol=3e-5)  # in order: 1e-3
    assert last.rate_counts.sum() <= 256


def test_sparse_rows_are_measured_as_the_dense_gradient():
    table, rows = jnp.ones((10, 4)), jnp.array([[1.0, 0.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    g = gradtx.RowSparse(jnp.array([7, 2]), rows, table.shape)
    tx = watch(gradtx.sgd(0.1), every=1, sample=40)
    came, dense = (readings(jax.jit(tx.update)(x, tx.init(table), table)[1]) for x in (g, g.dense()))
    for a, b in zip(came.records(), dense.records(), strict=True):
        assert a == pytest.approx(b, nan_ok=True)
    np.testing.assert_array_equal(came.rate_counts, dense.rate_counts)


def test_scan_vmap_bfloat16_and_trees_without_leaves():
    tx = watch(gradtx.adam(0.1), every=2)
    grads = gradients(4)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *grads)

    def body(carry, g):
        params, state = carry
        params, state = tx.step(g, state, params)
        return (params, state), None

    (_, state), _ = jax.jit(lambda c, g: jax.lax.scan(body, c, g))((PARAMS, tx.init(PARAMS)), stacked)
    expected = readings(walk(tx, grads)[-1][1])
    np.testing.assert_allclose(readings(state).update_rms, expected.update_rms, rtol=1e-5)

    half = {"w": jnp.ones((4, 4), jnp.bfloat16)}
    states = jax.vmap(tx.init)(jax.tree.map(lambda x: jnp.stack([x, 2 * x]), half))
    with pytest.raises(ValueError, match="a batch of shape"):
        readings(states)
    ones = {"w": jnp.ones((2, 4, 4), jnp.bfloat16)}
    _, states = jax.jit(jax.vmap(tx.update))(ones, states, ones)
    one = readings(jax.tree.map(lambda x: x[1], states))
    np.testing.assert_allclose(one.grad_norm, 4.0)

    for empty in ({}, (), {"a": None}, {"n": jnp.asarray(1)}):
        _, state = jax.jit(tx.update)(empty, tx.init(empty), empty)
        assert readings(state).names == ()
        assert int(state.count) == 1


def test_inside_and_outside_of_wrappers():
    grads = gradients(4)
    for wrap in (
        lambda tx: gradtx.accumulate(watch(tx, every=1), 2),
        lambda tx: watch(gradtx.accumulate(tx, 2), every=1),
        lambda tx: gradtx.skip_nonfinite(watch(tx, every=1)),
        lambda tx: watch(gradtx.freeze(tx, "b"), every=1),
        lambda tx: gradtx.masked(watch(tx, every=1), "a"),
    ):
        tx = wrap(gradtx.sgd(0.1))
        out = walk(tx, grads)
        found = readings(out[-1][1])
        assert len(found) == (2 if tx.name == "accumulate" else 4)
        assert found.names == (("a",) if tx.name == "masked" else ("a", "b/0"))
    assert watch(gradtx.adam(0.1)).replace(every=3) != watch(gradtx.adam(0.1))
    landing = watch(gradtx.compensate(gradtx.sgd(0.1)))
    with pytest.raises(ValueError, match="compensate"):
        gradtx.chain(landing, gradtx.scale(2.0))


def test_functions_of_the_model_are_called_once():
    calls = []
    tx = watch(gradtx.sam(gradtx.sgd(0.1), 0.05), every=1)

    def grad_fn(p):
        calls.append(1)
        return jax.tree.map(lambda x: 2 * x, p)

    params = {"w": jnp.ones(3)}
    jax.jit(lambda s, p: tx.update(grad_fn(p), s, p, grad_fn=grad_fn))(tx.init(params), params)
    assert len(calls) <= 3


def test_on_many_devices_it_is_replicated_and_right():
    params = {"w": jnp.arange(64.0).reshape(16, 4)}
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:8]), ("x",))
    split = jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x")))
    tx = watch(gradtx.adam(0.1), every=1)
    state = jax.jit(tx.init, out_shardings=state_shardings(tx, split))(split)
    came, expected = (readings(jax.jit(tx.update)(p, s, p)[1]) for p, s in ((split, state), (params, tx.init(params))))
    for a, b in zip(came.records(), expected.records(), strict=True):
        assert a == pytest.approx(b, nan_ok=True, rel=1e-5)


def test_a_resumed_run_goes_on_as_one_that_was_not_cut():
    tx, grads = watch(gradtx.adam(0.1), every=2, window=4), gradients(7)
    out = walk(tx, grads)
    flat = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), out[2][1])
    resumed = walk(tx, grads[3:], params=out[3][2], state=flat)
    same_bits("state", resumed[-1][1], out[-1][1])
    assert isinstance(out[0][1], WatchState)


def test_samples_are_grids():
    assert kept((2048, 2048), 1024) == (32, 32)
    assert kept((3, 3, 64, 128), 256) == (3, 3, 5, 5)
    assert kept((), 4) == ()
    np.testing.assert_array_equal(sample(jnp.arange(10.0), 3), [1.0, 4.0, 7.0])


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"window": 0}, ValueError, "window must be"),
        ({"every": 0}, ValueError, "every must be"),
        ({"sample": 2**16}, ValueError, "sample must be below 65536"),
        ({"every": 2**31}, ValueError, "every must be below 2147483648"),
        ({"window": 2**31}, ValueError, "window must be below 2147483648"),
        ({"bins": (1.0, 0.0, 3)}, ValueError, "bins must rise"),
        ({"bins": 24}, TypeError, "bins must be"),
        ({"groups": ["a"]}, TypeError, "groups must be a dict"),
        ({"groups": {"others": "a"}}, ValueError, "'others'"),
        ({"groups": {"x": 3}}, TypeError, "a rule a glob"),
        ({"previous": 1}, TypeError, "previous must be"),
    ],
)
def test_wrong_arguments(given, kind, said):
    with pytest.raises(kind, match=said):
        watch(gradtx.sgd(0.1), **given)


def test_wrong_states_and_rules():
    with pytest.raises(ValueError, match="matches no leaf"):
        watch(gradtx.sgd(0.1), groups={"x": "nothing"}).init(PARAMS)
    tx = watch(gradtx.sgd(0.1), every=1)
    one, other = {"w": jnp.ones(3)}, {"w": jnp.ones(4)}
    with pytest.raises(ValueError, match=r"these leaves: w \(4,\)"):
        tx.update(other, tx.init(one), other)
    with pytest.raises(ValueError, match="made for the leaves or groups 'w', and here are 'b'"):
        tx.update({**one, "b": jnp.ones(2)}, tx.init(one), {**one, "b": jnp.ones(2)})
    with pytest.raises(ValueError, match="needs the parameters"):
        tx.update(one, tx.init(one))
