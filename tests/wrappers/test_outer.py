"""`outer` against DiLoCo's algorithm 1 in float64, the case that is Lookahead, and its neutral outer optimizer."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, lookahead, outer, sgd
from tests.reference_averages import ulps, walk
from tests.transforms.agreement import enable_x64, gradients

SETTINGS = [(6, 0.7, 0.5), (1, 0.3, 0.0), (7, 1.0, 0.9), (30, 0.7, 0.5)]
W0 = np.linspace(-3, 3, 48).astype(np.float32)
W, G = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
RATE = 0.125  # exact, as in float64


def outer_nesterov(gs, w, rate, every, outer_rate, momentum):
    """Inner steps of SGD; after each k-th, delta = slow - w is the gradient of SGD with Nesterov's momentum."""
    w = w.astype(np.float64)
    slow, v, fast_path, slow_path = w.copy(), np.zeros_like(w), [], []
    for t, g in enumerate(gs.astype(np.float64), 1):
        w = w - rate * g
        if t % every == 0:
            delta = slow - w
            v = momentum * v + delta
            slow = slow - outer_rate * (delta + momentum * v)
            w = slow.copy()
        fast_path.append(w)
        slow_path.append(slow)
    return np.stack(fast_path), np.stack(slow_path)


@pytest.mark.parametrize(("k", "rate", "momentum"), SETTINGS)
def test_agrees_with_the_algorithm(k, rate, momentum):
    """1,000 steps in float32 within what the docstring says, and 300 in float64 to 1e-12."""
    gs = np.tanh(gradients())
    tx = outer(sgd(RATE), sgd(rate, momentum, nesterov=True), k)
    fast, slow = outer_nesterov(gs, W0, RATE, k, rate, momentum)
    path, got = walk(tx, gs, W0, lambda state, w: state.slow)
    bounds = re.findall(r"ithin (\d+)", " ".join(outer.factory.body.__doc__.split()))
    bound = bounds[momentum == 0.9]
    assert max(ulps(path, fast, fast), ulps(got, slow, fast)) <= int(bound)
    with enable_x64(True):
        path, got = walk(tx, gs[:300].astype(np.float64), W0.astype(np.float64), lambda state, w: state.slow)
        assert got.dtype == jnp.float64
    scale = np.max(np.abs(fast), axis=0)
    assert np.all(np.abs(np.asarray(path) - fast[:300]) <= 1e-12 * scale)
    assert np.all(np.abs(np.asarray(got) - slow[:300]) <= 1e-12 * scale)


@pytest.mark.parametrize(("k", "alpha"), [(6, 0.5), (5, 0.8), (1, 0.3)])
def test_with_plain_descent_outside_it_is_lookahead(k, alpha):
    path, slow = walk(outer(sgd(RATE), sgd(alpha), k), gradients(), W0, lambda state, w: state.slow)
    want, want_slow = walk(lookahead(sgd(RATE), k, alpha), gradients(), W0, lambda state, w: state.slow)
    path, want = np.asarray(path, np.float64), np.asarray(want, np.float64)
    assert max(ulps(path, want, want), ulps(slow, np.asarray(want_slow, np.float64), want)) <= 300


def test_worked_example():
    """Three steps of 1, then 0.5·(3 + 0.5·3) from 0; then 0.5·(3 + 0.5·(3 + 1.5)) from there."""
    tx = outer(sgd(1.0), sgd(0.5, 0.5, nesterov=True), 3)
    path, seen = walk(tx, -jnp.ones(6), jnp.zeros(()), lambda s, w: (s.slow, s.steps_since_sync))
    np.testing.assert_array_equal(path, [1, 2, 2.25, 3.25, 4.25, 2.25 + 0.5 * (3 + 2.25)])
    np.testing.assert_array_equal(seen[0], [0, 0, 2.25, 2.25, 2.25, 4.875])
    np.testing.assert_array_equal(seen[1], [1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_whole_step_changes_nothing_to_the_bit(zero):
    gs = gradients()[:30].copy()
    gs[::3] = zero
    inner = sgd(RATE, momentum=0.5)  # exact products: XLA may round a sum of others once or twice
    alone, _ = walk(inner, gs, W0)
    np.testing.assert_array_equal(walk(outer(inner, sgd(1.0), 3), gs, W0)[0], alone)
    tx, w = outer(sgd(1.0), sgd(1.0), 1), jnp.array([jnp.inf, -0.0, 1e30])
    updates, _ = tx.update(jnp.array([1.0, 0.0, 1.0]), tx.init(w), w)
    np.testing.assert_array_equal(updates, [-1.0, -0.0, -1.0])
    np.testing.assert_array_equal(jnp.signbit(updates), [True, True, True])


def test_schedules_outside_see_meetings():
    tx = outer(sgd(1.0), sgd(gradtx.piecewise_constant_schedule(1.0, {2: 0.5})), 2)
    path, seen = walk(tx, -jnp.ones(8), jnp.zeros(()), lambda s, w: gradtx.hyperparameters(s)["learning_rate"])
    np.testing.assert_array_equal(path, [1, 2, 3, 4, 5, 5, 6, 6])
    np.testing.assert_array_equal(seen, [1, 1, 1, 1, 1, 0.5, 0.5, 0.5])


def test_the_outer_optimizer_has_the_slow_weights_as_its_parameters():
    """Its weight decay acts on them; in half precision they have the digits that the parameters have not."""
    tx = outer(sgd(1.0), gradtx.chain(gradtx.add_decayed_weights(0.5), sgd(1.0)), 2)
    path, slow = walk(tx, -jnp.ones((4, 1), jnp.bfloat16), jnp.ones(1, jnp.bfloat16), lambda s, w: s.slow)
    assert slow.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(path[:, 0], np.float32), [2, 2.5, 3.5, 4.5 - 1.25])


def test_restarts_at_the_meetings():
    """The inner state is begun anew where fast and slow weights meet."""
    inner = sgd(0.1, momentum=0.9)
    tx = outer(gradtx.restart(inner, 4), sgd(0.5), 4)
    path, _ = walk(tx, gradients()[:8], W0)
    want, _ = walk(lookahead(inner, 4, 0.5, reset_state=True), gradients()[:8], W0)
    np.testing.assert_allclose(path, want, rtol=1e-5, atol=1e-6 * np.max(np.abs(want)))


def test_extra_arguments_go_to_the_one_that_takes_them():
    plateau = gradtx.chain(gradtx.reduce_on_plateau(0.5, 1), sgd(1.0))
    for tx in (outer(plateau, sgd(1.0), 1), outer(sgd(1.0), plateau, 1)):
        with pytest.raises(TypeError, match="reduce_on_plateau needs value"):
            tx.update(G, tx.init(W), W)
        tx.update(G, tx.init(W), W, value=1.0)


def test_a_meeting_costs_nothing_in_other_steps():
    """The outer optimizer is in a branch, and the slow weights are not copied."""
    tx, w = outer(adam(0.1), sgd(0.7, 0.5, nesterov=True), 30), jnp.zeros(1 << 16)

    def step(g, state, w):
        updates, state = tx.update(g, state, w)
        return gradtx.apply_updates(w, updates), state

    compiled = jax.jit(step, donate_argnums=(1, 2)).lower(w, tx.init(w), w).compile()
    assert "conditional" in compiled.as_text()
    assert compiled.memory_analysis().temp_size_in_bytes < 3.1 * w.nbytes


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"every": 0}, ValueError, "every must be finite and at least 1; got 0"),
        ({"every": 2.5}, TypeError, "every must be a whole number; got 2.5"),
        ({"every": None}, TypeError, "every must be"),
        ({"every": 2, "outer_tx": 0.5}, TypeError, "outer_tx must be a transformation"),
        (
            {"every": 2, "outer_tx": gradtx.project_onto(sgd(0.1), gradtx.sets.nonnegative())},
            ValueError,
            "outer changes the updates of project_onto",
        ),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=words):
        outer(sgd(0.1), **{"outer_tx": sgd(1.0), **settings})


def test_hostile_calls():
    tx = outer(sgd(0.1), sgd(1.0), 2)
    with pytest.raises(ValueError, match="outer needs the parameters"):
        tx.update(G, tx.init(W))
    with pytest.raises(ValueError, match=r"the slow \(3,\)"):
        tx.update(G, tx.init(jnp.ones(3))._replace(steps_since_sync=jnp.int32(1)), W)
