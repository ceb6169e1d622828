"""Accumulation: k small batches are one big one, and nothing happens in between."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st

import gradtx

PARAMS = {"w": jnp.asarray([1.0, -2.0, 0.5]), "b": jnp.asarray(0.25)}


def gradients(count, seed=0, whole=False):
    rng = np.random.default_rng(seed)

    def leaf(p):
        draws = rng.normal(size=(count, *p.shape))
        return jnp.asarray(np.round(8 * draws) if whole else draws, jnp.float32)

    stacked = jax.tree.map(leaf, PARAMS)
    return [jax.tree.map(lambda x, k=k: x[k], stacked) for k in range(count)]


@functools.partial(jax.jit, static_argnums=0)
def step(tx, *args):
    return tx.update(*args)


def run(tx, grads, params=PARAMS):
    state, history = tx.init(params), []
    for g in grads:
        updates, state = step(tx, g, state, params)
        params = gradtx.apply_updates(params, updates)
        history.append(updates)
    return params, state, history


def mean(grads):
    return jax.tree.map(lambda *g: np.mean(np.asarray(g, np.float64), axis=0).astype(np.float32), *grads)


@pytest.mark.parametrize(
    "inner", [gradtx.sgd(0.1, momentum=0.9), gradtx.adam(0.01), gradtx.adamw(0.01, weight_decay=0.1)]
)
class TestOneBigBatch:
    def test_to_the_bit_where_sums_are_exact(self, inner):
        grads = gradients(12, whole=True)
        params, state, _ = run(gradtx.accumulate(inner, 4), grads)
        big, big_state, _ = run(inner, [mean(grads[k : k + 4]) for k in (0, 4, 8)])
        jax.tree.map(np.testing.assert_array_equal, params, big)
        jax.tree.map(np.testing.assert_array_equal, state.inner, big_state)
        assert int(state.step) == 3

    def test_to_1e_6_where_they_are_not(self, inner):
        grads = gradients(9)
        params, _, _ = run(gradtx.accumulate(inner, 3), grads)
        big, _, _ = run(inner, [mean(grads[k : k + 3]) for k in (0, 3, 6)])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, big)

    def test_in_between_nothing_moves(self, inner):
        _, _, history = run(gradtx.accumulate(inner, 3), gradients(6))
        moved = [any(float(jnp.abs(u).max()) > 0 for u in jax.tree.leaves(updates)) for updates in history]
        assert moved == [False, False, True, False, False, True]


def test_a_real_batch_cut_in_four():
    rng = np.random.default_rng(0)
    x, y = np.float32(rng.normal(size=(32, 3))), np.float32(rng.normal(size=32))

    @jax.jit
    def grad(params, x, y):
        return jax.grad(lambda p: jnp.mean((x @ p["w"] + p["b"] - y) ** 2))(params)

    small, big = PARAMS, PARAMS
    tx, whole = gradtx.accumulate(gradtx.adam(0.1), 4), gradtx.adam(0.1)
    state, whole_state = tx.init(small), whole.init(big)
    for _ in range(5):
        for k in range(4):
            rows = slice(8 * k, 8 * k + 8)
            updates, state = step(tx, grad(small, x[rows], y[rows]), state, small)
            small = gradtx.apply_updates(small, updates)
        updates, whole_state = step(whole, grad(big, x, y), whole_state, big)
        big = gradtx.apply_updates(big, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), small, big)


def test_as_optax_where_nothing_is_skipped():
    grads = gradients(10)
    params, _, _ = run(gradtx.accumulate(gradtx.adam(0.01), 5), grads)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs, _, _ = run(optax.MultiSteps(optax.adam(0.01), 5).gradient_transformation(), grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, theirs)


def test_the_sum():
    _, _, history = run(gradtx.accumulate(gradtx.scale(1.0), 2, reduction="sum"), gradients(2, whole=True))
    jax.tree.map(lambda u, a, b: np.testing.assert_array_equal(u, a + b), history[1], *gradients(2, whole=True))


def test_schedules_inside_count_steps():
    rate = gradtx.linear_schedule(1.0, 0.0, transition_steps=4)
    tx = gradtx.accumulate(gradtx.sgd(rate), 2)
    _, state, history = run(tx, [jax.tree.map(jnp.ones_like, PARAMS)] * 6)
    assert [float(u["b"]) for u in history[1::2]] == [-1.0, -0.75, -0.5]
    assert gradtx.hyperparameters(state) == {"learning_rate": 0.5}


def test_steps_may_be_a_schedule_of_the_steps_made():
    """One gradient, then two, then three."""
    tx = gradtx.accumulate(gradtx.sgd(1.0), lambda step: step + 1)
    _, _, history = run(tx, [jax.tree.map(jnp.ones_like, PARAMS)] * 7)
    assert [float(u["b"]) for u in history] == [-1.0, 0.0, -1.0, 0.0, 0.0, -1.0, 0.0]


def test_steps_are_swept():
    grads = jax.tree.map(lambda *g: jnp.stack(g), *gradients(4))

    def last(steps):
        tx = gradtx.accumulate(gradtx.sgd(0.5), steps)

        def body(carry, g):
            updates, state = tx.update(g, carry[1], carry[0])
            return (gradtx.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), grads)[0][0]

    swept = jax.vmap(last)(jnp.asarray([1, 2, 4]))
    for k, steps in enumerate((1, 2, 4)):
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-6), swept, last(steps))


class TestFlush:
    def test_the_mean_of_what_came(self):
        grads = gradients(5, whole=True)
        tx = gradtx.accumulate(gradtx.sgd(1.0), 4)
        params, state, _ = run(tx, grads[:1])
        updates, state = jax.jit(tx.update)(grads[1], state, params, flush=True)
        np.testing.assert_array_equal(updates["w"], -mean(grads[:2])["w"])
        assert (int(state.mini_step), int(state.step)) == (0, 1)
        _, after, _ = run(tx, grads[2:4])
        assert int(after.mini_step) == 2

    def test_a_traced_flush_through_a_chain(self):
        tx = gradtx.chain(gradtx.accumulate(gradtx.sgd(1.0), 4), gradtx.scale(2.0))
        update = jax.jit(lambda g, s, flush: tx.update(g, s, flush=flush))
        g = jax.tree.map(jnp.ones_like, PARAMS)
        held, state = update(g, tx.init(PARAMS), jnp.asarray(False))
        out, _ = update(g, state, jnp.asarray(True))
        assert float(held["b"]) == 0.0
        assert float(out["b"]) == -2.0

    def test_through_another_accumulation(self):
        tx = gradtx.accumulate(gradtx.accumulate(gradtx.sgd(1.0), 2), 3)
        g = jax.tree.map(jnp.ones_like, PARAMS)
        updates, state = tx.update(g, tx.init(PARAMS), flush=True)
        assert float(updates["b"]) == -1.0
        assert (int(state.mini_step), int(state.inner.mini_step)) == (0, 0)

    def test_what_is_no_bool(self):
        tx = gradtx.accumulate(gradtx.sgd(1.0), 2)
        for flush in ("yes", None, 1, jnp.ones(2, bool)):
            with pytest.raises(TypeError, match="flush must be a bool or a bool scalar; got"):
                tx.update(PARAMS, tx.init(PARAMS), flush=flush)


class TestNonFinite:
    @hypothesis.given(st.lists(st.sampled_from([0.0, np.nan, np.inf, -np.inf]), min_size=6, max_size=14))
    def test_a_skipped_part_leaves_no_trace(self, faults):
        """skip_nonfinite(accumulate(...)) does what the good parts alone would do, to the bit."""
        tx = gradtx.skip_nonfinite(gradtx.accumulate(gradtx.adam(0.01), 3))
        grads = gradients(len(faults))
        bad = [{**g, "b": g["b"] + jnp.float32(fault)} for g, fault in zip(grads, faults, strict=True)]
        good = [g for g, fault in zip(grads, faults, strict=True) if fault == 0]
        params, state, _ = run(tx, bad)
        expected, expected_state, _ = run(tx, good)
        jax.tree.map(np.testing.assert_array_equal, params, expected)
        jax.tree.map(np.testing.assert_array_equal, state.inner, expected_state.inner)
        assert int(state.skipped) == len(bad) - len(good)

    def test_the_whole_step_can_be_skipped_instead(self):
        tx = gradtx.accumulate(gradtx.skip_nonfinite(gradtx.sgd(1.0)), 2)
        grads = gradients(4, whole=True)
        grads[0]["b"] = jnp.asarray(jnp.nan)
        params, state, _ = run(tx, grads)
        np.testing.assert_array_equal(params["w"], PARAMS["w"] - mean(grads[2:])["w"])
        assert int(state.inner.skipped) == 1

    def test_a_sum_that_overflows_does_not_stall(self):
        tx = gradtx.skip_nonfinite(gradtx.accumulate(gradtx.skip_nonfinite(gradtx.sgd(1.0)), 2))
        large = jax.tree.map(lambda p: jnp.full_like(p, 2e38), PARAMS)
        _, state, history = run(tx, [large, large, *gradients(4)])
        assert int(state.inner.step) == 3
        assert float(jnp.abs(history[3]["b"])) > 0

    def test_one_that_is_not_skipped_is_gone_after_its_step(self):
        """optax's MultiSteps has it for ever: 0 times NaN."""
        tx = gradtx.accumulate(gradtx.scale(-1.0), 2)
        grads = gradients(4)
        grads[0]["b"] = jnp.asarray(jnp.nan)
        _, _, history = run(tx, grads)
        assert np.isnan(history[1]["b"])
        assert np.isfinite(history[3]["b"])


def test_half_precision_gradients_are_summed_in_float32():
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    grads = [{"w": jnp.full(2, 1.0 + k / 256, jnp.bfloat16)} for k in range(64)]
    tx = gradtx.accumulate(gradtx.scale(1.0), 64)
    assert tx.init(params).accumulated["w"].dtype == jnp.float32
    _, _, history = run(tx, grads, params)
    np.testing.assert_allclose(
        history[-1]["w"], np.mean([np.asarray(g["w"], np.float32) for g in grads], axis=0), rtol=1e-6
    )


def test_the_inner_update_is_in_a_branch_and_is_traced_once():
    traces = []

    def update(updates, state, params=None):
        traces.append(1)
        return jax.tree.map(jnp.sin, updates), state

    tx = gradtx.accumulate((lambda params: gradtx.EmptyState(), update), 4)
    state = tx.init(PARAMS)
    text = str(jax.make_jaxpr(tx.update)(PARAMS, state))
    assert len(traces) == 1
    assert text.count("sin") == 2
    assert text.index("cond[") < text.index("sin")


def test_derivatives_with_respect_to_a_wrapped_transformation():
    """Whole numbers of steps are no obstacle."""

    def loss(tx):
        state, w = tx.init(PARAMS), PARAMS
        for g in gradients(2):
            updates, state = tx.update(g, state, w)
            w = gradtx.apply_updates(w, updates)
        return sum(jnp.sum(x) for x in jax.tree.leaves(w))

    slope = jax.grad(loss)(gradtx.accumulate(gradtx.every(gradtx.sgd(0.5), 1), 2))
    expected = -sum(float(np.sum(x)) for x in jax.tree.leaves(mean(gradients(2))))
    assert float(slope.inner.inner.learning_rate) == pytest.approx(expected, rel=1e-5)
    assert float(slope.steps) == 0.0


def test_optax_inside_with_other_types():
    """optax's Adam changes the type of its state at the first update of bfloat16 parameters; here it keeps it."""
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    tx = gradtx.accumulate(optax.adam(0.1), 1)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        _, state, _ = run(tx, gradients(2), params)
    assert jax.tree.map(jnp.result_type, state) == jax.tree.map(jnp.result_type, tx.init(params))


def test_params_are_those_of_the_step_that_is_made():
    tx = gradtx.accumulate(gradtx.add_decayed_weights(1.0), 2)
    state, zero = tx.init(PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
    _, state = tx.update(zero, state, PARAMS)
    later = jax.tree.map(lambda p: 3 * p, PARAMS)
    updates, _ = tx.update(zero, state, later)
    jax.tree.map(np.testing.assert_array_equal, updates, later)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), 0), ValueError, "accumulate: steps must be finite and at least 1"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), -3), ValueError, "steps must be finite and at least 1"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), 2.5), TypeError, "steps must be a whole number; got 2.5"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), True), TypeError, "steps must be a whole number; got True"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), "4"), TypeError, "steps must be a whole number; got '4'"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), jnp.ones(2, int)), ValueError, "steps must be a scalar"),
        (lambda: gradtx.accumulate(gradtx.sgd(0.1), 2, reduction="avg"), ValueError, "reduction must be one of"),
        (lambda: gradtx.accumulate(4, gradtx.sgd(0.1)), TypeError, "inner must be a transformation"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
