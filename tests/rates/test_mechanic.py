"""Mechanic against algorithm 1 of its paper."""

import jax
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, rates
from tests.rates.paths import STEPS, W0, along, assert_agrees, assert_scale_free, falls, gradient, stated, walked

BETAS = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])


def adam_steps(lr, b1=0.9, b2=0.999, eps=1e-8):
    """A function of the gradients, one after the other, that gives Adam's steps."""
    m = v = t = 0.0

    def step(g):
        nonlocal m, v, t
        t, m, v = t + 1, b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return -lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


def mechanic_loop(w0, base, s_init=1e-8, decay=1e-2, eps=1e-8, betas=BETAS, m0=1e-6, s0=0.0, cut=False):
    """Cutkosky et al. 2023, algorithm 1: a tuner for each beta, whose factors are added."""
    w, delta, path = w0.copy(), 0 * w0, []
    r, m, v, s = 0 * betas, 0 * betas + m0, 0 * betas, 0 * betas + s0
    for t in range(STEPS):
        g = gradient(t, w)
        h = np.dot(g + decay * s.sum() * np.linalg.norm(g) * w / np.linalg.norm(w), delta)
        delta, before = delta + base(g), m
        m = np.maximum(betas * m, abs(h) + (eps if cut else 0.0))
        v = betas**2 * v + h**2
        r = np.maximum(0, betas * r - s * (np.clip(h, -before, before) if cut else h))
        s = (s_init * m / len(betas) + r) / (np.sqrt(v) + eps)
        w = w0 + s.sum() * delta
        path.append(w)
    return np.array(path)


def test_mechanic():
    tx = adapt_learning_rate(gradtx.adam(0.1), rates.mechanic(s_init=1e-3))
    loop = lambda w: mechanic_loop(w, adam_steps(0.1), s_init=1e-3)  # noqa: E731
    assert_agrees(tx, loop, stated(rates.mechanic))


def test_around_sgd_in_float64():
    tx = adapt_learning_rate(gradtx.sgd(0.01), rates.mechanic(s_init=1e-2, weight_decay=0.1))
    want = mechanic_loop(W0.astype(np.float64), lambda g: -0.01 * g, s_init=1e-2, decay=0.1)
    np.testing.assert_allclose(walked(tx, np.float64)[0], want, rtol=0, atol=1e-11 * np.abs(want).max())


def test_a_few_betas():
    tx = adapt_learning_rate(gradtx.sgd(0.01), rates.mechanic((0.9, 0.99), 1e-2))
    want = mechanic_loop(W0.astype(np.float64), lambda g: -0.01 * g, s_init=1e-2, betas=np.array([0.9, 0.99]))
    np.testing.assert_allclose(walked(tx, np.float64)[0], want, rtol=0, atol=1e-11 * np.abs(want).max())


def test_the_objective_times_1000_changes_little():
    """Around Adam, whose steps have no units; the first factor is that of m = 1e-6 and eps, which have."""
    free = {"s_init": 1e-2, "eps": 0.0}
    assert_scale_free(adapt_learning_rate(gradtx.adam(0.1, eps=0.0), rates.mechanic(**free)), bound=1e-9)


def test_the_parameters_are_the_start_and_the_stretched_way():
    tx = adapt_learning_rate(gradtx.adam(0.1), rates.mechanic(s_init=1e-2))
    path, (delta, total, rate) = walked(
        tx, np.float64, steps=50, read=lambda s: (s.estimator.delta, s.estimator.total, s.rate)
    )
    np.testing.assert_allclose(path, W0 + total[:, None] * delta, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(rate, total)


def test_no_rate_is_needed():
    """Whatever the learning rate inside, from 1e-3 to 10."""
    for rate in (1e-3, 1e-1, 10.0):
        tx = adapt_learning_rate(gradtx.adam(rate), rates.mechanic())
        path = falls(tx, [1.0, 10.0, 100.0], [1.0, -2.0, 0.5], 3000)
        assert np.linalg.norm(path[-1]) < 0.1


def test_gradients_of_zero():
    """They move nothing, and the factor stays, to the rounding that eps makes."""
    tx = adapt_learning_rate(gradtx.sgd(0.1), rates.mechanic(s_init=1e-2))
    path, rate = along(tx, np.zeros((4, W0.size), np.float32), read=lambda state: state.rate)
    np.testing.assert_array_equal(path, np.broadcast_to(W0, path.shape))
    gs = np.concatenate([np.ones((9, W0.size)), np.zeros((4, W0.size))]).astype(np.float32)
    path, rate = along(tx, gs, read=lambda state: state.rate)
    np.testing.assert_allclose(rate[9:], rate[8], rtol=1e-3)
    assert np.isfinite(path).all()


@pytest.mark.parametrize("inner", [gradtx.sgd(1.0), gradtx.adam(1.0)], ids=repr)
def test_huge_gradients(inner):
    gs = np.full((4, W0.size), 1e25, np.float32)
    path, _ = along(adapt_learning_rate(inner, rates.mechanic()), gs)
    assert np.isfinite(path).all()


def test_it_needs_steps_of_descent():
    with pytest.raises(ValueError, match=r"needs steps of descent, and scale_by_adam\(.*points uphill"):
        adapt_learning_rate(gradtx.scale_by_adam(), rates.mechanic())


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"betas": ()}, "betas must have at least one entry"),
        ({"betas": (0.9, 1.5)}, r"betas\[1\] must be in \[0, 1\]"),
        ({"s_init": 0.0}, "s_init must be greater than 0"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and at least 0"),
        ({"eps": np.inf}, "eps must be finite"),
    ],
)
def test_numbers_out_of_range(given, word):
    with pytest.raises(ValueError, match=word):
        rates.mechanic(**given)


def test_another_library_starts_otherwise():
    """optax's begins with s = s_init for each beta and m = 0, adds eps to |h| in m, and clips h in r."""
    optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
    theirs = gradtx.chain(optax.contrib.mechanize(optax.sgd(0.01), s_init=1e-2))
    with jax.numpy_dtype_promotion("standard"):
        path, _ = walked(theirs, np.float64, steps=10)
    start = W0.astype(np.float64)
    so = mechanic_loop(start, lambda g: -0.01 * g, s_init=1e-2, m0=0.0, s0=1e-2, cut=True)[:10]
    np.testing.assert_allclose(path, so, rtol=0, atol=1e-6)
    assert np.abs(path - mechanic_loop(start, lambda g: -0.01 * g, s_init=1e-2)[:10]).max() > 1e-2
