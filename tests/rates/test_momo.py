"""MoMo and MoMo-Adam against algorithms 1 and 2 of their paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.rates.paths import (
    STEPS,
    W0,
    along,
    assert_agrees,
    assert_scale_free,
    falls,
    gradient,
    loss,
    stated,
    walked,
)


def momo_loop(w0, lr, beta=0.9, bound=0.0, decay=0.0):
    """Schaipp et al. 2024, algorithm 1: means that start with the first values; the decay as in section 4.2."""
    w, path, a = w0.copy(), [], 1 + lr * decay
    f, gamma, m = loss(0, w), np.dot(gradient(0, w), w), gradient(0, w)
    for t in range(STEPS):
        g = gradient(t, w)
        f, gamma = beta * f + (1 - beta) * loss(t, w), beta * gamma + (1 - beta) * np.dot(g, w)
        m = beta * m + (1 - beta) * g
        model = a * (f - bound - gamma) + np.dot(m, w)
        w = (w - min(lr, max(model, 0) / np.dot(m, m)) * m) / a
        path.append(w)
    return np.array(path)


def momo_adam_loop(w0, lr, b1=0.9, b2=0.999, eps=1e-8, bound=0.0, decay=0.0):
    """Schaipp et al. 2024, algorithm 2: means from 0, and their weights."""
    w, path, a = w0.copy(), [], 1 + lr * decay
    f = gamma = m = v = 0.0
    for t in range(1, STEPS + 1):
        g = gradient(t - 1, w)
        f, gamma = b1 * f + (1 - b1) * loss(t - 1, w), b1 * gamma + (1 - b1) * np.dot(g, w)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        c, q = 1 - b1**t, m / (np.sqrt(v / (1 - b2**t)) + eps)
        model = a * (f - c * bound - gamma) + np.dot(m, w)
        w = (w - min(lr / c, max(model, 0) / np.dot(m, q)) * q) / a
        path.append(w)
    return np.array(path)


LOOPS = {"momo": momo_loop, "momo_adam": momo_adam_loop}
GIVEN = [("momo", {}), ("momo", {"bound": 0.2, "decay": 0.1, "beta": 0.5})]
GIVEN += [("momo_adam", {}), ("momo_adam", {"bound": 0.2, "decay": 0.1, "b1": 0.5, "b2": 0.9, "eps": 1e-3})]
WORDS = {"decay": "weight_decay", "bound": "lower_bound"}
W = jnp.array([3.0, 4.0])


@pytest.mark.parametrize(("name", "given"), GIVEN, ids=repr)
def test_the_paper(name, given):
    tx = getattr(gradtx, name)(0.1, **{WORDS.get(k, k): x for k, x in given.items()})
    bound = stated(getattr(gradtx, f"scale_by_{name}"))
    assert_agrees(tx, lambda w: LOOPS[name](w, 0.1, **given), bound)


@pytest.mark.parametrize("name", LOOPS)
def test_another_library(name):
    """optax's is the same but for weight decay, where it divides w by a and not the step."""
    optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
    for given in ({}, {"lower_bound": 0.2}, {"weight_decay": 0.1}):
        theirs = gradtx.chain(getattr(optax.contrib, name)(0.05, **given))
        mine = getattr(gradtx, name)(0.05, **given)
        with jax.numpy_dtype_promotion("standard"):
            got, want = (walked(tx, np.float64, steps=200)[0] for tx in (mine, theirs))
        assert (np.abs(got - want).max() < 1e-12) == ("weight_decay" not in given)


@pytest.mark.parametrize("name", LOOPS)
def test_a_rate_too_large_is_made_small(name):
    """From a hundred times what gradient descent could take, down to the bottom."""
    path = falls(getattr(gradtx, name)(10.0), [1.0, 10.0, 100.0], [1.0, -2.0, 0.5], 2000)
    assert np.linalg.norm(path[-1]) < 0.05


@pytest.mark.parametrize("tx", [gradtx.momo(1e6), gradtx.momo_adam(1e6, eps=0.0)], ids=repr)
def test_the_objective_times_1000_changes_no_step(tx):
    """As long as the largest rate is larger than that of the model."""
    assert_scale_free(tx)


@pytest.mark.parametrize("name", LOOPS)
def test_gradients_of_zero_and_huge_ones(name):
    tx = getattr(gradtx, name)()
    path, _ = along(tx, np.zeros((3, W0.size), np.float32))
    np.testing.assert_array_equal(path, np.broadcast_to(W0, path.shape))
    path, _ = along(tx, np.full((4, W0.size), 1e25, np.float32))
    assert np.isfinite(path).all()


@pytest.mark.parametrize("name", LOOPS)
def test_without_the_loss_it_is_an_error(name):
    tx = getattr(gradtx, name)()
    with pytest.raises(TypeError, match=f"scale_by_{name} needs value"):
        tx.update(W, tx.init(W), W)
    with pytest.raises(ValueError, match=f"scale_by_{name} needs value, the loss at the parameters, as a scalar"):
        tx.update(W, tx.init(W), W, value=W)


@pytest.mark.parametrize(
    ("make", "given", "word"),
    [
        (gradtx.scale_by_momo, {"beta": 1.5}, r"beta must be in \[0, 1\]"),
        (gradtx.scale_by_momo, {"lower_bound": -np.inf}, "lower_bound must be finite"),
        (gradtx.scale_by_momo, {"learning_rate": np.inf}, "learning_rate must be finite"),
        (gradtx.scale_by_momo, {"weight_decay": -1.0}, "weight_decay must be finite and at least 0"),
        (gradtx.scale_by_momo_adam, {"b1": 1.0}, r"b1 must be in \[0, 1\)"),
        (gradtx.scale_by_momo_adam, {"eps": -1.0}, "eps must be finite and at least 0"),
    ],
)
def test_numbers_out_of_range(make, given, word):
    with pytest.raises(ValueError, match=word):
        make(**given)


def test_a_mean_that_fades_away_is_no_nan():
    """At the minimum the mean of gradients goes to 0: the square of its norm is 0 before it is."""
    tx, target = gradtx.momo(0.1), jnp.array([1.0, -1.0, 2.0])

    def step(_, carry):
        w, state = carry
        updates, state = tx.update(2.0 * (w - target), state, w, value=jnp.sum((w - target) ** 2))
        return gradtx.apply_updates(w, updates), state

    start = jnp.zeros(3)
    assert jnp.all(jax.jit(lambda c: jax.lax.fori_loop(0, 1000, step, c))((start, tx.init(start)))[0] == target)
