"""Sophia against the loop of its paper, on losses whose curvature is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, lr
from tests.optimizers.paths import error

CURVATURES = np.linspace(-1.0, 10.0, 48).astype(np.float32)  # of both signs
SLOPES = np.linspace(1.0, -2.0, 48).astype(np.float32)


def bowl(w):
    return jnp.sum(jnp.asarray(CURVATURES, w.dtype) * w**2) / 2


def labels_of_the_model(w):
    return jnp.sum(jnp.asarray(SLOPES, w.dtype) * w**2) / 2


def clipped(estimate, gamma, every, b1=0.965, b2=0.99, eps=1e-12, most=1.0):
    """The loop, with estimates of the diagonal at given parameters."""

    def loop(gs, w):
        m, h, out = 0 * w, 0 * w, []
        for t, g in enumerate(gs):
            m = b1 * m + (1 - b1) * g
            if t % every == 0:
                h = b2 * h + (1 - b2) * estimate(w)
            w = w - 0.01 * np.clip(m / np.maximum(gamma * h, eps), -most, most)
            out.append(w)
        return np.stack(out)

    return loop


GIVEN = {
    "hessian": (
        gradtx.chain(gradtx.scale_by_sophia(gamma=10.0), gradtx.scale_by_learning_rate(0.01)),
        clipped(lambda w: CURVATURES.astype(w.dtype), 10.0, 10),
        {"value_fn": bowl},
    ),
    "gauss newton": (
        gradtx.chain(gradtx.scale_by_sophia_g(update_interval=3, batch_size=8), gradtx.scale_by_learning_rate(0.01)),
        clipped(lambda w: 8 * (SLOPES.astype(w.dtype) * w) ** 2, 0.05, 3),
        {"sampled_value_fn": labels_of_the_model},
    ),
}


@pytest.mark.parametrize(("tx", "loop", "extra"), GIVEN.values(), ids=GIVEN.keys())
def test_against_the_paper(tx, loop, extra):
    assert error(tx, loop, **extra) <= 1e-5
    assert error(tx, loop, np.float64, **extra) <= 1e-11
    factory = getattr(gradtx, next(iter(tx.children.values())).name)
    assert "Within 1e-5 of exact arithmetic" in " ".join(factory.__doc__.split())


def test_estimates_are_right_on_average():
    """r∘(H·r) is the diagonal plus H_12·r1·r2: the mean over seeds is the diagonal, and each is one of two values."""
    hessian = jnp.array([[3.0, 1.0], [1.0, 2.0]])
    w = jnp.array([0.5, -0.5])

    @jax.jit
    @jax.vmap
    def estimate(seed):
        tx = gradtx.scale_by_sophia(b2=0.0, key=jax.random.key(seed))
        return tx.update(w, tx.init(w), w, value_fn=lambda w: w @ hessian @ w / 2)[1].nu

    found = np.asarray(estimate(jnp.arange(40)))
    assert {tuple(x) for x in found.tolist()} == {(4.0, 3.0), (2.0, 1.0)}
    np.testing.assert_allclose(found.mean(0), [3.0, 2.0], atol=0.5)


def test_other_leaves_and_steps_have_other_signs():
    w = {"a": jnp.ones(16), "b": jnp.ones(16)}
    tx = gradtx.scale_by_sophia(b2=0.0, update_interval=1)

    def value(w):
        return (jnp.sum(w["a"]) ** 2 + jnp.sum(w["b"]) ** 2) / 2  # H·r is the sum of the signs, everywhere

    state, seen = tx.init(w), []
    for _ in range(2):
        _, state = tx.update(w, state, w, value_fn=value)
        seen += [np.asarray(state.nu["a"]), np.asarray(state.nu["b"])]
    assert len({x.tobytes() for x in seen}) == 4


def test_the_function_is_asked_in_due_steps_only():
    asked = []

    def value(w):
        asked.append(1)
        return jnp.sum(w**2)

    w = jnp.ones(3)
    tx = gradtx.scale_by_sophia(update_interval=4)
    state = tx.init(w)
    counts = []
    for _ in range(9):
        before = len(asked)
        _, state = tx.update(w, state, w, value_fn=value)
        counts.append(len(asked) > before)
    assert counts == [True, False, False, False, True, False, False, False, True]


@pytest.mark.parametrize("name", ["scale_by_sophia", "scale_by_sophia_g"])
def test_vmap_outside_jit(name):
    """Also over counts, where a new estimate is due for some of the states only."""
    given, extra = ({}, "value_fn") if name == "scale_by_sophia" else ({"batch_size": 8}, "sampled_value_fn")
    tx = getattr(gradtx, name)(update_interval=4, **given)
    w = jnp.arange(1.0, 10.0).reshape(3, 3)
    states = jax.vmap(tx.init)(w)._replace(count=jnp.array([3, 4, 8], jnp.int32))

    def update(w, state):
        return tx.update(w, state, w, **{extra: lambda w: jnp.sum(w**4)})

    got = jax.vmap(update)(w, states)
    jitted = jax.jit(update)
    alone = [jitted(w[k], jax.tree.map(lambda x, k=k: x[k], states)) for k in range(3)]
    want = jax.tree.map(lambda *xs: np.stack(xs), *alone)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, want)
    assert (np.asarray(got[1].nu) != 0).any(axis=1).tolist() == [False, True, True]


@pytest.mark.parametrize("jit", [False, True])
def test_zero_negative_and_huge(jit):
    w = jnp.array([0.0, 1.0, 1.0, 1.0])
    tx = gradtx.scale_by_sophia(b1=0.0)
    step = lambda g, s: tx.update(g, s, w, value_fn=lambda w: -jnp.sum(w**2))  # noqa: E731
    u, _ = (jax.jit(step) if jit else step)(jnp.array([0.0, 1e-30, -1e38, 1.0]), tx.init(w))
    np.testing.assert_allclose(u, [0.0, 1e-18, -1.0, 1.0], rtol=1e-5)


def test_chains():
    def of(recipe, *members):
        w = jnp.array([1.0, -2.0])
        a, b = recipe, gradtx.chain(*members)
        extra = {"value_fn": lambda w: jnp.sum(w**4)} if "value_fn" in a.extras.needed else {}
        extra = extra or {"sampled_value_fn": lambda w: jnp.sum(w**4)}
        got, want = (tx.update(w, tx.init(w), w, **extra) for tx in (a, b))
        jax.tree.map(np.testing.assert_array_equal, got, want)

    numbers, decay = (0.8, 0.9, 1e-8), gradtx.add_decayed_weights(0.1)
    scaling = gradtx.scale_by_sophia(*numbers, 0.1, 2.0, 5, key=3)
    of(gradtx.sophia(RATE, *numbers, 0.1, None, 0.1, 2.0, 5, key=3), scaling, decay, lr(RATE))
    scaling = gradtx.scale_by_sophia_g(*numbers, 0.1, 2.0, 5, batch_size=4)
    of(gradtx.sophia_g(RATE, *numbers, 0.1, None, 0.1, 2.0, 5, batch_size=4), scaling, decay, lr(RATE))


class TestBadInput:
    def test_complex_parameters(self):
        with pytest.raises(TypeError, match="layers/w is complex"):
            gradtx.sophia(0.1).init({"layers": {"w": jnp.ones(2, jnp.complex64)}})

    def test_no_function(self):
        w, tx = jnp.ones(2), gradtx.sophia(0.1)
        with pytest.raises(TypeError, match="value_fn"):
            tx.update(w, tx.init(w), w)
        with pytest.raises(TypeError, match="value_fn must be a function of the parameters"):
            tx.update(w, tx.init(w), w, value_fn=2.0)
        with pytest.raises(TypeError, match="value_fn must return a real scalar"):
            tx.update(w, tx.init(w), w, value_fn=lambda w: w)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("b1", 1.0), ("b2", 1.0), ("eps", 0.0), ("gamma", -1.0), ("clip_threshold", 0.0), ("update_interval", 0)],
    )
    def test_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be"):
            gradtx.scale_by_sophia(**{name: value})
        with pytest.raises(ValueError, match="batch_size must be"):
            gradtx.scale_by_sophia_g(batch_size=0)
