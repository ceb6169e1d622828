"""`lookahead` against Zhang et al.'s algorithm 1, and what it leaves alone."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, lookahead, sgd
from tests.reference_averages import lookahead_sgd, ulps, walk
from tests.transforms.agreement import enable_x64, gradients

SETTINGS = [(6, 0.5), (5, 0.8), (1, 0.3), (2, 1.0), (7, 0.0), (400, 0.5)]
W0 = np.linspace(-3, 3, 48).astype(np.float32)
W, G = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
RATE = 0.125  # exact, as in float64


@functools.cache
def walked(k, alpha):
    path, slow = walk(lookahead(sgd(RATE), k, alpha), gradients(), W0, lambda state, w: state.slow)
    return np.asarray(path), np.asarray(slow)


@pytest.mark.parametrize(("k", "alpha"), SETTINGS)
def test_agrees_with_the_algorithm(k, alpha):
    fast, slow = lookahead_sgd(gradients(), W0, RATE, k, alpha)
    path, got = walked(k, alpha)
    text = " ".join(lookahead.factory.body.__doc__.split())
    (bound,) = re.findall(r"Within (\d+) ulp of the largest parameter so far over 1,000 steps", text)
    assert max(ulps(path, fast, fast), ulps(got, slow, fast)) <= int(bound)


@pytest.mark.parametrize(("k", "alpha"), [(6, 0.5), (1, 0.3), (2, 1.0)])
def test_float64(k, alpha):
    gs = gradients()[:300].astype(np.float64)
    fast, slow = lookahead_sgd(gs, W0, RATE, k, alpha)
    with enable_x64(True):
        path, got = walk(lookahead(sgd(RATE), k, alpha), gs, W0.astype(np.float64), lambda state, w: state.slow)
        assert got.dtype == jnp.float64
    scale = np.max(np.abs(fast), axis=0)
    assert np.all(np.abs(np.asarray(path) - fast) <= 1e-13 * scale)
    assert np.all(np.abs(np.asarray(got) - slow) <= 1e-13 * scale)


def test_worked_example():
    """Three steps of 1, then half the way back: 1, 2, 1.5, 2.5, 3.5, 3."""
    path, seen = walk(lookahead(sgd(1.0), 3, 0.5), -jnp.ones(6), jnp.zeros(()), lambda s, w: (s.slow, s[0]))
    np.testing.assert_array_equal(path, [1, 2, 1.5, 2.5, 3.5, 3.0])
    np.testing.assert_array_equal(seen[0], [0, 0, 1.5, 1.5, 1.5, 3.0])
    np.testing.assert_array_equal(seen[1], [1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(("k", "alpha"), SETTINGS)
def test_fast_and_slow_meet(k, alpha):
    """To one rounding of the update that leads there."""
    tx, w = lookahead(adam(0.1), k, alpha), jnp.asarray(W0)
    state = tx.init(w)
    for t, g in enumerate(gradients()[:20], 1):
        updates, state = tx.update(jnp.asarray(g), state, w)
        w = gradtx.apply_updates(w, updates)
        if t % k == 0:
            assert np.all(np.abs(w - state.slow) <= np.spacing(np.maximum(np.abs(updates), np.abs(w))))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_slow_weights_keep_the_digits_that_half_precision_has_not(dtype):
    gs = np.full((64, 1), -1.0, np.float32)
    path, slow = walk(lookahead(sgd(1e-2), 4, 0.5), gs, jnp.ones(1, dtype), lambda state, w: state.slow)
    assert path.dtype == dtype
    assert slow.dtype == jnp.float32
    np.testing.assert_array_equal(path[3::4], slow[3::4].astype(dtype))
    assert len(np.unique(np.asarray(slow))) == 17


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_slow_step_of_one_changes_nothing_to_the_bit(zero):
    gs = gradients()[:30].copy()
    gs[::3] = zero
    inner = sgd(RATE, momentum=0.5)  # exact products: XLA may round a sum of others once or twice
    alone, _ = walk(inner, gs, W0)
    for alpha in (1.0, jnp.float32(1.0)):
        path, _ = walk(lookahead(inner, 3, alpha), gs, W0)
        np.testing.assert_array_equal(path, alone)
    tx, zeros = lookahead(sgd(1.0), 1, 1.0), jnp.array([0.0, -0.0])
    updates, _ = tx.update(zeros, tx.init(W + 1), W)
    np.testing.assert_array_equal(jnp.signbit(updates), [True, False])


def test_reset_state_begins_the_inner_state_anew_at_each_meeting():
    inner = sgd(0.1, momentum=0.9)
    gs = gradients()[:12]
    kept, momentum = walk(lookahead(inner, 4, 0.5), gs, W0, lambda s, w: s.inner["add_momentum"].trace)
    path, fresh = walk(lookahead(inner, 4, 0.5, reset_state=True), gs, W0, lambda s, w: s.inner["add_momentum"].trace)
    np.testing.assert_allclose(path[:4], kept[:4], rtol=1e-6)  # two programs, which XLA fuses as it likes
    assert not fresh[3::4].any()
    assert momentum[3::4].any()
    # The second period is that of a new start from where the first ended.
    again, _ = walk(lookahead(inner, 4, 0.5), gs[4:8], path[3])
    np.testing.assert_allclose(path[4:8], again, rtol=1e-6)


def test_reset_state_takes_states_of_every_kind():
    """Counters, booleans and random keys are chosen as floats are."""

    def init(params):
        return {"key": jax.random.key(7), "on": jnp.asarray(False), "n": jnp.zeros((), jnp.int32)}

    def update(updates, state, params=None):
        key, _ = jax.random.split(state["key"])
        return updates, {"key": key, "on": ~state["on"], "n": state["n"] + 1}

    tx = lookahead((init, update), 2, 0.5, reset_state=True)
    _, seen = walk(tx, jnp.ones((4, 2)), W, lambda s, w: s.inner)
    np.testing.assert_array_equal(seen["n"], [1, 0, 1, 0])
    np.testing.assert_array_equal(seen["on"], [True, False, True, False])
    keys = jax.random.key_data(seen["key"])
    np.testing.assert_array_equal(keys[1], jax.random.key_data(jax.random.key(7)))
    assert (keys[0] != keys[1]).any()


def test_reset_state_of_a_wrapper_that_copies_parameters_starts_where_they_are():
    tx = lookahead(gradtx.average(sgd(1.0)), 2, 0.25, reset_state=True)
    path, seen = walk(tx, -jnp.ones(4), jnp.zeros(()), lambda s, w: gradtx.averaged(s))
    np.testing.assert_array_equal(path, [1, 0.5, 1.5, 1])
    np.testing.assert_array_equal(seen, [1, 0.5, 1.5, 1])


def test_extra_arguments_go_through():
    tx = lookahead(gradtx.chain(gradtx.reduce_on_plateau(0.5, 1), sgd(1.0)), 6)
    state = tx.init(W)
    with pytest.raises(TypeError, match="reduce_on_plateau needs value"):
        tx.update(G, state, W)
    _, state = tx.update(G, state, W, value=1.0)
    _, state = tx.update(G, state, W, value=1.0)
    assert state.inner["reduce_on_plateau"].scale == 0.5


def test_a_sweep_over_periods_and_step_sizes():
    def last(k, alpha):
        return walk(lookahead(sgd(1.0), k, alpha), -jnp.ones(9), jnp.zeros(()))[0]

    rows = [(1, 0.5), (3, 0.25), (4, 1.0), (20, 0.5)]
    columns = [jnp.array(c) for c in zip(*rows, strict=True)]
    np.testing.assert_allclose(jax.vmap(last)(*columns), [last(*row) for row in rows], rtol=1e-6)


def test_the_derivative_by_the_slow_step_size_at_one():
    def last(alpha):
        return walk(lookahead(sgd(1.0), 2, alpha), -jnp.ones(4), jnp.zeros(()))[0][-1]  # 4·alpha

    assert jax.grad(last)(1.0) == 4.0


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"sync_period": 0}, ValueError, "sync_period must be finite and at least 1; got 0"),
        ({"sync_period": -6}, ValueError, "sync_period must be"),
        ({"sync_period": 2.5}, TypeError, "sync_period must be a whole number; got 2.5"),
        ({"slow_step_size": 1.5}, ValueError, r"slow_step_size must be in \[0, 1\]; got 1.5"),
        ({"slow_step_size": -0.5}, ValueError, "slow_step_size must be"),
        ({"slow_step_size": None}, TypeError, "slow_step_size must be a number"),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=f"lookahead: {words}"):
        lookahead(sgd(0.1), **settings)


def test_hostile_calls():
    tx = lookahead(sgd(0.1))
    with pytest.raises(ValueError, match="lookahead needs the parameters"):
        tx.update(G, tx.init(W))
    with pytest.raises(TypeError, match="lookahead: the state must be a LookaheadState"):
        tx.update(G, gradtx.average(sgd(0.1)).init(W), W)
    with pytest.raises(ValueError, match=r"the slow \(3,\)"):
        tx.update(G, tx.init(jnp.ones(3)), W)


def test_reset_state_leaves_schedules_and_what_was_set_by_hand():
    rate = gradtx.linear_schedule(1.0, 0.0, 100)
    tx = lookahead(gradtx.chain(adam(0.1), gradtx.scale(rate)), 2, reset_state=True)
    w, state = jnp.zeros(2), tx.init(jnp.zeros(2))
    for _ in range(4):
        _, state = jax.jit(tx.update)(jnp.ones(2), state, w)
    assert int(state.inner["scale"].count) == 4
    assert int(state.inner["scale_by_adam"].count) == 0

    tx = lookahead(gradtx.inject(sgd(0.1)), 1, reset_state=True)
    state = gradtx.set_hyperparameters(tx.init(w), learning_rate=0.5)
    _, state = tx.update(jnp.ones(2), state, w)
    assert float(gradtx.hyperparameters(state)["learning_rate"]) == 0.5


def test_it_copies_neither_weights():
    """Besides the weights only the update is kept; each of the four is read and written once or twice."""
    tx = lookahead(sgd(0.1), 6)
    w = jnp.zeros(1 << 16)

    def step(g, state, w):
        updates, state = tx.update(g, state, w)
        return gradtx.apply_updates(w, updates), state

    compiled = jax.jit(step, donate_argnums=(1, 2)).lower(w, tx.init(w), w).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1.1 * w.nbytes
    assert compiled.cost_analysis()["bytes accessed"] < 9.5 * w.nbytes


def test_an_infinite_weight_stays():
    tx, w = lookahead(sgd(0.1), 1), jnp.array([-jnp.inf, 1.0])
    updates, _ = tx.update(jnp.zeros(2), tx.init(w), w)
    np.testing.assert_array_equal(gradtx.apply_updates(w, updates), w)
