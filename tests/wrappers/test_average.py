"""`average`: what is averaged, how exactly, and where it is found again."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx
from gradtx import accumulate, adam, average, averaged, chain, inject, masked, sgd
from tests.reference_averages import averages, ulps, walk
from tests.transforms.agreement import enable_x64, gradients

SETTINGS = {
    "mean": {"decay": None},
    "fading": {"decay": 0.9},
    "slowly": {"decay": 0.999},
    "little": {"decay": 0.3},
    "none": {"decay": 0.0},
    "tail": {"decay": None, "start": 700},
    "seldom": {"decay": None, "every": 7},
    "seldom, late": {"decay": 0.9, "start": 250, "every": 10},
    "biased": {"decay": 0.99, "debias": False},
    "biased, late": {"decay": 0.9, "start": 1, "debias": False},
}
W0 = np.linspace(-3, 3, 48).astype(np.float32)
W, G = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])


@functools.cache
def walked(name, traced=False):
    settings = SETTINGS[name]
    if traced and settings["decay"] is not None:
        settings = {**settings, "decay": jnp.float32(settings["decay"])}
    path, got = walk(average(sgd(0.1), **settings), gradients(), W0, lambda state, w: averaged(state))
    return np.asarray(path), np.asarray(got)


@pytest.mark.parametrize("name", SETTINGS)
def test_agrees_with_the_definition(name):
    path, got = walked(name)
    worst = ulps(got, averages(path, W0, **SETTINGS[name]), path)
    assert worst <= 80
    text = " ".join(average.factory.body.__doc__.split())
    assert re.findall(r"Within (\d+) ulp of the largest parameter so far over 1,000 steps", text) == ["80"]


@pytest.mark.parametrize("name", ["fading", "little", "seldom, late", "biased"])
def test_a_decay_that_is_an_array_gives_the_same(name):
    path, got = walked(name)
    rounding = 1e-5 * np.max(np.abs(path), axis=0)  # 0.9 in float32 is another decay
    assert np.all(np.abs(walked(name, traced=True)[1] - got) <= rounding)


SOME = ["mean", "slowly", "tail", "seldom, late", "biased, late"]


@pytest.mark.parametrize("name", SOME)
def test_float64(name):
    with enable_x64(True):
        tx = average(sgd(0.1), **SETTINGS[name])
        path, got = walk(tx, gradients()[:300].astype(np.float64), W0.astype(np.float64), lambda s, w: averaged(s))
        assert got.dtype == jnp.float64
    want = averages(np.asarray(path), W0, **SETTINGS[name])
    assert np.all(np.abs(np.asarray(got) - want) <= 1e-13 * np.max(np.abs(path), axis=0))


def test_worked_example():
    tx = average(sgd(1.0), start=2, every=2)
    _, seen = walk(tx, -jnp.ones(7), jnp.zeros(()), lambda s, w: (averaged(s), s.count, s.n_averaged))
    np.testing.assert_array_equal(seen[0], [1, 2, 2, 4, 4, 5, 5])  # w is 1, 2, ...: 4 and 6 are taken
    np.testing.assert_array_equal(seen[1], [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(seen[2], [0, 0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("name", SOME)
def test_parameters_that_stand_still_are_their_average_to_the_bit(name):
    tx = average(gradtx.set_to_zero(), **SETTINGS[name])
    _, got = walk(tx, np.zeros((1000, 48), np.float32), W0, lambda state, w: averaged(state))
    np.testing.assert_array_equal(got, np.broadcast_to(W0, got.shape))


@pytest.mark.parametrize("decay", [None, 0.9, jnp.float32(0.999)])
def test_the_first_is_taken_whole_however_large_the_initial_parameters(decay):
    tx = average(sgd(1.0), decay)
    updates, state = tx.update(G, tx.init(jnp.array([1e30, -1e8])), W)
    np.testing.assert_array_equal(averaged(state), gradtx.apply_updates(W, updates))


def test_what_is_not_taken_leaves_no_trace():
    tx = average(sgd(1.0), every=2)
    _, seen = walk(tx, np.array([np.nan, 0, 0, 0], np.float32)[:, None], jnp.ones(1), lambda s, w: averaged(s))
    assert seen[0] == 1.0
    tx, gs = average(sgd(1.0), decay=0.5, start=2), np.array([0.0, 0.0, np.nan], np.float32)[:, None]
    assert np.isnan(walk(tx, gs, jnp.ones(1), lambda s, w: averaged(s))[1][-1])  # what is taken is seen


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_averaged_in_float32_as_it_is_stored(dtype):
    gs = np.random.default_rng(3).standard_normal((500, 8)).astype(np.float32)
    path, got = walk(average(sgd(0.01)), gs, jnp.ones(8, dtype), lambda state, w: averaged(state))
    assert path.dtype == dtype
    assert got.dtype == jnp.float32
    path = np.asarray(path, np.float32)
    assert ulps(got, averages(path, np.ones(8), None), path) <= 80


def test_the_updates_are_those_of_the_inner_transformation_untouched():
    seen = []

    def update(updates, state, params=None):
        seen.append({"w": updates["w"], "n": updates["n"]})
        return seen[-1], state

    tx, params = average((lambda params: gradtx.EmptyState(), update)), {"w": W, "n": jnp.array([1, 2])}
    updates, _ = tx.update({"w": G, "n": None}, tx.init(params), params)
    assert updates is seen[0]


def test_a_schedule_for_the_decay():
    tx = average(sgd(1.0), lambda step: step / 10.0, debias=False)
    _, seen = walk(tx, -jnp.ones(3), jnp.zeros(()), lambda s, w: averaged(s))
    np.testing.assert_allclose(seen, [1.0, 0.1 * 1 + 0.9 * 2, 0.2 * 1.9 + 0.8 * 3], rtol=1e-6)


def test_it_is_found_wherever_it_is():
    inner = average(adam(0.1), 0.9)
    makers = {
        "alone": inner,
        "chain": chain(gradtx.clip_by_value(1.0), inner),
        "named": chain(first=chain(second=inner)),
        "accumulate": accumulate(inner, 1),
        "masked": masked(inner, "**"),
        "inject": inject(inner),
        "scheduled": average(adam(0.1), lambda step: 0.9),
        "skip": gradtx.skip_nonfinite(inner),
        "lookahead": gradtx.lookahead(inner, 6),
    }
    states = {name: tx.update({"w": G}, tx.init({"w": W}), {"w": W})[1] for name, tx in makers.items()}
    for name, state in states.items():
        np.testing.assert_allclose(averaged(state)["w"], W - 0.1, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(averaged({"opt": (state, 3)}, {"w": W})["w"], W - 0.1, rtol=1e-6)


def test_where_there_is_none_or_several():
    one, two = average(sgd(0.1)), average(average(sgd(0.1)))
    with pytest.raises(ValueError, match=r"averaged: there is no state of average\(...\) in a dict with the keys"):
        averaged(adam(0.1).init(W))
    with pytest.raises(ValueError, match=r"2 states of average\(...\), at \(the tree itself\), inner: give one"):
        averaged(two.init(W))
    with pytest.raises(ValueError, match="at a, b: give one of them"):
        averaged(chain(a=one, b=one).init(W))
    np.testing.assert_array_equal(averaged(chain(a=one, b=one).init(W)["a"]), W)
    with pytest.raises(TypeError, match="averaged takes a state; got the transformation average"):
        averaged(one)


def test_with_params_it_is_ready_for_the_model():
    params = {
        "w": jnp.array([1.0, 2.0], jnp.bfloat16),
        "n": jnp.array([1, 2]),
        "key": jax.random.key(0),
        "none": None,
        "other": jnp.ones(3),
    }
    tx = masked(average(sgd(0.1)), {"w": True, "n": False, "key": False, "none": False, "other": False})
    state = tx.init(params)
    bare, full = averaged(state), averaged(state, params)
    assert bare["w"].dtype == jnp.float32
    assert bare["n"] is bare["key"] is bare["none"] is bare["other"] is None
    assert full["w"].dtype == jnp.bfloat16
    assert all(full[k] is params[k] for k in ("n", "key", "none", "other"))
    with pytest.raises(ValueError, match=r"average at w has shape \(2,\), the parameter \(3,\)"):
        averaged(state, {**params, "w": jnp.zeros(3)})
    with pytest.raises(ValueError, match="there is no average at more"):
        averaged(state, {**params, "more": jnp.zeros(3)})


def test_a_sweep_over_decays_and_counts():
    def last(decay, start, every):
        tx = average(sgd(1.0), decay, start=start, every=every)
        return walk(tx, -jnp.ones(9), jnp.zeros(()), lambda s, w: averaged(s))[1][-1]

    rows = [(0.5, 0, 1), (0.9, 3, 2), (0.2, 8, 1), (0.7, 2, 30)]
    columns = [jnp.array(c) for c in zip(*rows, strict=True)]
    np.testing.assert_allclose(jax.vmap(last)(*columns), [last(*row) for row in rows], rtol=1e-6)
    states = jax.vmap(average(sgd(0.1)).init)(jnp.ones((3, 2)))
    assert states.count.shape == (3,)
    assert averaged(states, jnp.ones((3, 2))).shape == (3, 2)


@given(st.integers(0, 5), st.integers(1, 5), st.sampled_from([None, 0.0, 0.5, 0.99]), st.booleans(), st.integers(1, 12))
def test_any_setting(start, every, decay, debias, steps):
    gs = np.random.default_rng(steps).standard_normal((steps, 3)).astype(np.float32)
    tx, w, w0 = average(sgd(0.3), decay, start=start, every=every, debias=debias), jnp.ones(3), np.ones(3)
    state, path = tx.init(w), []
    for g in gs:
        updates, state = tx.update(jnp.asarray(g), state, w)
        w = gradtx.apply_updates(w, updates)
        path.append(np.asarray(w))
    want = averages(np.array(path), w0, decay, start, every, debias)[-1]
    np.testing.assert_allclose(averaged(state), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"decay": 1.5}, ValueError, r"decay must be in \[0, 1\); got 1.5"),
        ({"decay": 1.0}, ValueError, r"decay must be in \[0, 1\)"),
        ({"decay": -0.1, "debias": False}, ValueError, r"decay must be in \[0, 1\]"),
        ({"decay": float("nan")}, ValueError, "decay must be in"),
        ({"decay": "half"}, TypeError, "decay must be a number"),
        ({"start": -1}, ValueError, "start must be finite and at least 0; got -1"),
        ({"every": 0}, ValueError, "every must be finite and at least 1; got 0"),
        ({"every": -3}, ValueError, "every must be"),
        ({"every": 1.5}, TypeError, "every must be a whole number; got 1.5"),
        ({"start": True}, TypeError, "start must be a whole number"),
        ({"every": lambda step: 2}, TypeError, "every must be a whole number"),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=f"average: {words}"):
        average(sgd(0.1), **settings)


def test_hostile_calls():
    tx = average(sgd(0.1))
    with pytest.raises(ValueError, match="average needs the parameters: call update"):
        tx.update(G, tx.init(W))
    with pytest.raises(TypeError, match="average: the state must be a AverageState; got a dict"):
        tx.update(G, adam(0.1).init(W), W)
    with pytest.raises(ValueError, match=r"the average \(3,\)"):
        tx.update(G, tx.init(jnp.ones(3)), W)
    with pytest.raises(TypeError, match="inner must be a transformation"):
        average(0.1)


@pytest.mark.parametrize("tx", [gradtx.accumulate(average(sgd(1.0)), 2), gradtx.skip_nonfinite(average(sgd(1.0)))])
def test_inside_what_waits_it_counts_steps_alone(tx):
    """As its docstring says where it belongs."""
    gs, w = [1.0, jnp.nan if tx.name == "skip_nonfinite" else 1.0, 1.0, 1.0], jnp.zeros(())
    state = tx.init(w)
    for g in gs:
        updates, state = tx.update(jnp.asarray(g), state, w)
        w = gradtx.apply_updates(w, updates)
    assert int(state.inner.n_averaged) == (3 if tx.name == "skip_nonfinite" else 2)


@pytest.mark.parametrize("far", [jnp.inf, jnp.nan, 3e38])
def test_through_the_first_updates_it_is_w_whatever_was_before(far):
    tx, w = average(sgd(1.0), 0.9, start=3), jnp.asarray(-3e38)
    _, state = tx.update(jnp.asarray(0.0), tx.init(jnp.asarray(far)), w)
    assert float(averaged(state)) == float(w)
    _, state = tx.update(jnp.asarray(0.0), tx.init(w), jnp.asarray(far))
    _, state = tx.update(jnp.asarray(0.0), state, jnp.asarray(1.0))
    assert float(averaged(state)) == 1.0
