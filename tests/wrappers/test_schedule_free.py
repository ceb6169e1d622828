"""`schedule_free` against Defazio et al.'s equations, with x, y and z kept side by side."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, chain, eval_params, inject, schedule_free, sgd
from tests.reference_averages import schedule_free_sgd, ulps, walk
from tests.transforms.agreement import enable_x64, gradients

W0 = np.linspace(-3, 3, 48).astype(np.float32)
W, G = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
RATE = 0.125  # exact, as in float64


def warmup(t):
    return RATE * min(1.0, t / 128) if isinstance(t, int) else RATE * jnp.minimum(1.0, t / 128)


def waves(t):
    return RATE * (t % 8) / 8


def constant(t):
    return RATE


def mixing(t):
    return 0.5 + 0.4 * (t % 7) / 7


SETTINGS = {
    "plain": (constant, 0.9, 2.0),
    "half": (constant, 0.5, 2.0),
    "little": (constant, 0.1, 2.0),
    "mean": (constant, 1.0, 2.0),
    "warm-up": (warmup, 0.9, 2.0),
    "warm-up, alike": (warmup, 0.9, 0.0),
    "warm-up, first power": (warmup, 0.98, 1.0),
    "waves": (waves, 0.9, 2.0),
    "mixing": (constant, mixing, 2.0),
}


def made(name):
    rate, b1, power = SETTINGS[name]
    return schedule_free(sgd(rate), rate, b1, weight_lr_power=power)


def expected(name, gs):
    rate, b1, power = SETTINGS[name]
    return schedule_free_sgd(lambda t, y: gs[t], W0, len(gs), rate, b1 if callable(b1) else lambda t: b1, power)


@pytest.mark.parametrize("name", SETTINGS)
def test_agrees_with_the_equations(name):
    gs = gradients()
    y, x = expected(name, gs.astype(np.float64))
    path, got = walk(made(name), gs, W0, eval_params)
    text = " ".join(schedule_free.factory.body.__doc__.split())
    (bound,) = re.findall(r"y within (\d+) ulp of the largest parameter so far over 1,000 steps in float32", text)
    assert f"x within {bound}/b1" in text
    largest = np.maximum(np.abs(y), np.abs(x))
    b1 = SETTINGS[name][1]
    assert ulps(path, y, largest) <= int(bound)
    assert ulps(got, x, largest) <= int(bound) / (0.5 if callable(b1) else b1)


@pytest.mark.parametrize("name", SETTINGS)
def test_float64(name):
    gs = gradients()[:300].astype(np.float64)
    y, x = expected(name, gs)
    with enable_x64(True):
        path, got = walk(made(name), gs, W0.astype(np.float64), eval_params)
        assert got.dtype == jnp.float64
    scale = np.max(np.maximum(np.abs(y), np.abs(x)), axis=0)
    assert np.all(np.abs(np.asarray(path) - y) <= 1e-11 * scale)
    assert np.all(np.abs(np.asarray(got) - x) <= 1e-11 * scale)


def test_gradients_are_taken_between_the_path_and_its_average():
    """On a quadratic, where the gradient depends on y."""
    scale = np.array([1.0, 0.3, 0.05])
    y, x = schedule_free_sgd(lambda t, y: scale * (y - 1), np.zeros(3), 500, lambda t: 0.5)
    tx = schedule_free(sgd(0.5), 0.5)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jnp.asarray(scale, jnp.float32) * (w - 1), state, w)
        w = gradtx.apply_updates(w, updates)
        return (w, state), (w, eval_params(state, w))

    w = jnp.zeros(3)
    _, (path, got) = jax.lax.scan(step, (w, tx.init(w)), length=500)
    np.testing.assert_allclose(path, y, atol=2e-6)
    np.testing.assert_allclose(got, x, atol=5e-6)


def test_worked_example():
    """Steps of 1 with b1 = 1/2: z is 1, 2, 3; x is 1, 3/2, 2; y is between them."""
    path, x = walk(schedule_free(sgd(1.0), 1.0, 0.5), -jnp.ones(3), jnp.zeros(()), eval_params)
    np.testing.assert_array_equal(x, [1, 1.5, 2])
    np.testing.assert_array_equal(path, [1, 1.75, 2.5])


def test_a_rate_of_zero_leaves_the_average_where_it_is():
    def rate(t):
        return jnp.where(t < 3, 0.0, 0.5)

    tx = schedule_free(sgd(1.0), rate, 0.5)  # steps, but without weight
    _, seen = walk(tx, -jnp.ones(5), jnp.zeros(()), lambda s, w: (eval_params(s, w), s.inner.weight_sum))
    np.testing.assert_allclose(seen[0], [0, 0, 0, 4, 4.5], rtol=1e-6)
    np.testing.assert_allclose(seen[1], [0, 0, 0, 0.25, 0.5])


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e3])
def test_only_the_shape_of_the_learning_rate_matters(factor):
    gs = gradients()[:50]
    want = walk(schedule_free(sgd(0.1), warmup), gs, W0)[0]
    got = walk(schedule_free(sgd(0.1), lambda t: factor * warmup(t)), gs, W0)[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.max(np.abs(want)))


def test_the_inner_transformation_sees_the_parameters():
    seen = []

    def update(updates, state, params):
        seen.append(params)
        return updates, state

    tx, w = schedule_free((lambda params: gradtx.EmptyState(), update), 1.0), jnp.array([5.0, 6.0])
    tx.update(G, tx.init(W), w)
    assert seen[0] is w


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    """z is float32, and x to the rounding of the parameters while their steps are above it."""
    gs = np.random.default_rng(1).choice([-1.0, 1.0], (30, 6)).astype(np.float32)
    y, x = schedule_free_sgd(lambda t, y: gs[t].astype(float), np.ones(6), 30, constant)
    path, seen = walk(schedule_free(sgd(RATE), RATE), gs, jnp.ones(6, dtype), lambda s, w: (eval_params(s, w), s.z))
    assert path.dtype == seen[0].dtype == dtype
    assert seen[1].dtype == jnp.float32
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(seen[0], np.float64), x, atol=4 * eps * np.max(np.abs(y)))


def test_it_is_found_wherever_it_is_and_takes_the_leaves_of_others():
    inner = schedule_free(adam(0.1, b1=0.0), 0.1, 0.5)
    makers = [
        inner,
        chain(gradtx.clip_by_value(1.0), inner),
        gradtx.masked(inner, {"w": True, "n": False, "other": False}),
        inject(inner),
        gradtx.average(inner),
        gradtx.accumulate(inner, 1),
        schedule_free(adam(0.1, b1=0.0), 0.1, lambda step: 0.5),
    ]
    params = {"w": W.astype(jnp.bfloat16), "n": jnp.array([1, 2]), "other": None}
    for tx in makers:
        state = tx.init(params)
        grads = {"w": G, "n": None, "other": None}
        updates, state = tx.update(grads, state, params)
        params_1 = gradtx.apply_updates(params, updates)
        x = eval_params({"opt": state}, params_1)
        assert x["w"].dtype == jnp.bfloat16
        np.testing.assert_allclose(x["w"].astype(jnp.float32), W - 0.1, rtol=1e-2)
        assert x["n"] is params["n"]
        assert x["other"] is None


def test_where_there_is_none_several_or_a_batch():
    one = schedule_free(sgd(0.1), 0.1)
    with pytest.raises(ValueError, match=r"eval_params: there is no state of schedule_free\(...\)"):
        eval_params(adam(0.1).init(W), W)
    with pytest.raises(ValueError, match=r"2 states .* at a, b: give one of them"):
        eval_params(chain(a=one, b=one).init(W), W)
    with pytest.raises(TypeError, match="eval_params takes a state"):
        eval_params(one, W)
    with pytest.raises(ValueError, match=r"z at \(the tree itself\) has shape \(2,\), the parameter \(3,\)"):
        eval_params(one.init(W), jnp.ones(3))
    batch, ws = jax.vmap(one.init)(jnp.ones((3, 2))), jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"state of a batch: call jax\.vmap"):
        eval_params(batch, ws)
    np.testing.assert_array_equal(jax.vmap(eval_params)(batch, ws), ws)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"b1": 0.0}, ValueError, "b1 must be greater than 0; got 0.0"),
        ({"b1": -0.5}, ValueError, "b1 must be greater than 0"),
        ({"b1": 1.5}, ValueError, r"b1 must be in \[0, 1\]; got 1.5"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be finite and at least 0"),
        ({"weight_lr_power": -2.0}, ValueError, "weight_lr_power must be"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=f"schedule_free: {words}"):
        schedule_free(sgd(0.1), **{"learning_rate": 0.1, **settings})


def test_hostile_calls():
    tx = schedule_free(sgd(0.1), 0.1)
    with pytest.raises(ValueError, match="schedule_free needs the parameters"):
        tx.update(G, tx.init(W))
    with pytest.raises(TypeError, match="schedule_free: the state must be a ScheduleFreeState"):
        tx.update(G, sgd(0.1).init(W), W)
    with pytest.raises(ValueError, match=r"the z \(3,\)"):
        tx.update(G, tx.init(jnp.ones(3)), W)
    with pytest.raises(TypeError, match=r"no argument 'lr' \(did you mean 'learning_rate'\?\)"):
        schedule_free(sgd(0.1), 0.1, lr=0.1)
