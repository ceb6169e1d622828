"""`restart`: states made anew, updates that grow again, and what goes on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, restart, sgd
from tests.reference_averages import walk
from tests.transforms.agreement import gradients

W0 = np.linspace(-3, 3, 48).astype(np.float32)
W, G = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])


def momentum_with_restarts(gs, w, rate, decay, every, warmup):
    """Heavy-ball momentum that is 0 again every few steps, with steps along half a cosine after each restart."""
    w, b, path = w.astype(np.float64), 0.0, []
    for t, g in enumerate(gs.astype(np.float64)):
        if t and t % every == 0:
            b = 0.0
        n = t % every + 1
        c = 0.5 * (1 - np.cos(np.pi * n / warmup)) if t >= every and n < warmup else 1.0
        b = decay * b + g
        w = w - c * rate * b
        path.append(w)
    return np.stack(path)


@pytest.mark.parametrize(("every", "warmup"), [(1, 0), (5, 0), (7, 3), (3, 10), (400, 150)])
def test_agrees_with_the_loop(every, warmup):
    """Over 1,000 steps, to 150 ulp of the largest parameter."""
    gs = np.tanh(gradients())
    path, _ = walk(restart(sgd(0.125, momentum=0.5), every, warmup), gs, W0)
    want = momentum_with_restarts(gs, W0, 0.125, 0.5, every, warmup)
    unit = np.spacing(np.abs(want).max().astype(np.float32))
    assert np.max(np.abs(np.asarray(path, np.float64) - want)) <= 150 * unit


def test_the_second_period_is_a_new_start_from_where_the_first_ended():
    gs = gradients()[:12]
    path, seen = walk(restart(adam(0.1), 4), gs, W0, lambda s, w: (s.count, s.restarts, s.inner["scale_by_adam"].count))
    again, _ = walk(adam(0.1), gs[4:8], path[3])
    np.testing.assert_allclose(path[4:8], again, rtol=1e-6)
    np.testing.assert_array_equal(seen[0], [1, 2, 3, 4] * 3)
    np.testing.assert_array_equal(seen[1], [0] * 4 + [1] * 4 + [2] * 4)
    np.testing.assert_array_equal(seen[2], [1, 2, 3, 4] * 3)


def test_states_that_copy_parameters_start_where_they_are():
    path, seen = walk(
        restart(gradtx.average(sgd(1.0)), 2), -jnp.ones(4), jnp.zeros(()), lambda s, w: gradtx.averaged(s)
    )
    np.testing.assert_array_equal(path, [1, 2, 3, 4])
    np.testing.assert_array_equal(seen, [1, 1.5, 3, 3.5])


def test_states_of_every_kind_are_made_anew():
    """Counters, booleans and random keys are chosen as floats are."""

    def init(params):
        return {"key": jax.random.key(7), "on": jnp.asarray(False), "n": jnp.zeros((), jnp.int32)}

    def update(updates, state, params=None):
        key, _ = jax.random.split(state["key"])
        return updates, {"key": key, "on": ~state["on"], "n": state["n"] + 1}

    _, seen = walk(restart((init, update), 2), jnp.ones((4, 2)), W, lambda s, w: s.inner)
    np.testing.assert_array_equal(seen["n"], [1, 2, 1, 2])
    np.testing.assert_array_equal(seen["on"], [True, False, True, False])
    keys = jax.random.key_data(seen["key"])
    assert (keys[0] == keys[2]).all()


def test_a_nan_is_forgotten():
    """It is in the momentum until the restart, which selects: nothing of it stays."""
    gs = np.ones((6, 1), np.float32)
    gs[1] = np.nan
    tx = restart(gradtx.add_momentum(0.9), 3)
    state, us = tx.init(jnp.zeros(1)), []
    for g in gs:
        u, state = tx.update(jnp.asarray(g), state, jnp.zeros(1))
        us.append(float(u[0]))
    assert np.isnan(us[1])
    assert np.isnan(us[2])
    np.testing.assert_allclose(us[3:], [1, 1.9, 2.71], rtol=1e-6)


def test_schedules_and_what_was_set_by_hand_go_on():
    tx = restart(gradtx.chain(adam(0.1), gradtx.scale(gradtx.linear_schedule(1.0, 0.0, 100))), 2)
    w, state = jnp.zeros(2), tx.init(jnp.zeros(2))
    for _ in range(5):
        _, state = jax.jit(tx.update)(jnp.ones(2), state, w)
    assert int(state.inner["scale"].count) == 5
    assert int(state.inner["scale_by_adam"].count) == 1

    tx = restart(gradtx.inject(sgd(0.1)), 1)
    state = gradtx.set_hyperparameters(tx.init(w), learning_rate=0.5)
    for _ in range(3):
        _, state = tx.update(jnp.ones(2), state, w)
    assert float(gradtx.hyperparameters(state)["learning_rate"]) == 0.5


def test_the_first_updates_of_all_are_whole_and_the_last_of_a_warmup_too():
    """0, then (1 - cos(pi·n/4))/2."""
    us, _ = walk(restart(gradtx.identity(), 6, 4), jnp.ones(12), jnp.zeros(()))
    np.testing.assert_allclose(np.diff(np.asarray(us), prepend=0)[:6], 1, rtol=1e-6)
    np.testing.assert_allclose(np.diff(np.asarray(us))[5:], [0.146447, 0.5, 0.853553, 1, 1, 1], rtol=1e-5)


def test_a_sweep_over_periods_and_warmups():
    def last(every, warmup):
        return walk(restart(sgd(0.5, momentum=0.5), every, warmup), -jnp.ones(9), jnp.zeros(()))[0]

    rows = [(1, 0), (3, 2), (4, 1), (20, 5)]
    columns = [jnp.array(c) for c in zip(*rows, strict=True)]
    np.testing.assert_allclose(jax.vmap(last)(*columns), [last(*row) for row in rows], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"every": 0}, ValueError, "every must be finite and at least 1; got 0"),
        ({"every": 2.5}, TypeError, "every must be a whole number; got 2.5"),
        ({"every": 5, "warmup": -1}, ValueError, "warmup must be finite and at least 0; got -1"),
        ({"every": 5, "warmup": None}, TypeError, "warmup must be"),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=f"restart: {words}"):
        restart(sgd(0.1), **settings)


def test_hostile_calls():
    tx = restart(sgd(0.1), 2)
    with pytest.raises(ValueError, match="restart needs the parameters"):
        tx.update(G, tx.init(W))
    lands = gradtx.project_onto(sgd(0.1), gradtx.sets.nonnegative())
    restart(lands, 5)
    with pytest.raises(ValueError, match="restart changes the updates of project_onto"):
        restart(lands, 5, warmup=2)


def noise_of(tx):
    """The first numbers of 16 steps."""
    draw = jax.jit(lambda: jax.lax.scan(lambda s, _: tx.update(jnp.zeros(2), s, W)[::-1], tx.init(W), length=16)[1])
    return np.asarray(draw())[:, 0].tolist()


@pytest.mark.parametrize("key", [0, jax.random.key(0, impl="rbg")], ids=["int", "rbg"])
def test_each_period_has_random_numbers_of_its_own(key):
    """Also inside another wrapper, and in a restart inside a restart. The first period has those of the key."""
    noise = gradtx.add_noise(1.0, 0.0, key)
    drawn = noise_of(restart(noise, 2))
    assert len(set(drawn)) == 16
    assert len(set(noise_of(restart(gradtx.skip_nonfinite(noise), 2)))) == 16
    assert len(set(noise_of(restart(restart(noise, 2), 4)))) == 16
    np.testing.assert_array_equal(drawn[:2], noise_of(noise)[:2])


def test_random_roundings_of_each_period_are_others():
    w, tx = jnp.ones(2000, jnp.bfloat16), restart(gradtx.round_stochastically(sgd(1.0), 0), 1)
    one, state = tx.update(w / 512, tx.init(w), w)
    two, _ = tx.update(w / 512, state, w)
    assert 0.3 < np.mean(np.asarray(one) != np.asarray(two)) < 0.7
