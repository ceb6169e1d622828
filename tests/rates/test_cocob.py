"""COCOB against algorithm 2 of its paper."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.rates.paths import STEPS, W0, along, assert_agrees, assert_scale_free, falls, gradient, stated


def cocob_loop(w0, alpha=100.0, eps=1e-8, rate=1.0, decay=0.0):
    """Orabona & Tommasi 2017, algorithm 2, with the largest gradient at first eps."""
    w, path = w0.copy(), []
    largest, total, reward, theta = 0 * w0 + eps, 0 * w0, 0 * w0, 0 * w0
    for t in range(STEPS):
        g = gradient(t, w) + decay * w
        largest = np.maximum(largest, np.abs(g))
        total += np.abs(g)
        reward = np.maximum(reward - g * (w - w0), 0.0)
        theta -= g
        aim = w0 + theta / (largest * np.maximum(total + largest, alpha * largest)) * (largest + reward)
        w = w + rate * (aim - w)
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("given", [{}, {"alpha": 10.0, "rate": 0.5, "decay": 0.1}], ids=repr)
def test_cocob(given):
    words = {"rate": "learning_rate", "decay": "weight_decay"}
    tx = gradtx.cocob(**{words.get(k, k): x for k, x in given.items()})
    assert_agrees(tx, lambda w: cocob_loop(w, **given), stated(gradtx.scale_by_cocob))


def test_the_objective_times_1000_changes_no_step():
    """As long as gradients are larger than eps."""
    assert_scale_free(gradtx.cocob(eps=0.0))
    assert_scale_free(gradtx.cocob())


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e25])
def test_the_first_step_is_one_hundredth(size):
    tx, w = gradtx.cocob(eps=0.0), jnp.array([1.0, -2.0, 3.0])
    u, _ = tx.update(size * jnp.array([3.0, -0.5, 0.0]), tx.init(w), w)
    np.testing.assert_allclose(u, [-0.01, 0.01, 0.0], rtol=1e-6)


def test_no_rate_is_needed():
    path = falls(gradtx.cocob(), [1.0, 10.0, 100.0], [1.0, -2.0, 0.5], 2000)
    assert np.linalg.norm(path[-1]) < 1e-3


def test_gradients_of_zero_and_huge_ones():
    path, _ = along(gradtx.cocob(), np.zeros((3, W0.size), np.float32))
    np.testing.assert_array_equal(path, np.broadcast_to(W0, path.shape))
    path, _ = along(gradtx.cocob(), np.full((50, W0.size), 1e25, np.float32))
    assert np.isfinite(path).all()


@pytest.mark.parametrize(
    ("given", "word"),
    [({"alpha": 0.5}, "alpha must be finite and at least 1"), ({"eps": -1.0}, "eps must be finite and at least 0")],
)
def test_numbers_out_of_range(given, word):
    with pytest.raises(ValueError, match=word):
        gradtx.scale_by_cocob(**given)
