"""Hypergradient descent against algorithms 4 and 6 of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, rates
from tests.rates.paths import STEPS, W0, along, assert_agrees, gradient, stated, walked
from tests.rates.test_mechanic import adam_steps
from tests.transforms.agreement import enable_x64


def hypergradient_loop(w0, base, rate, hyper_rate):
    """Baydin et al. 2018: the rate goes against g·∂w/∂rate, and ∂w/∂rate is the last step at a rate of 1."""
    w, last, path = w0.copy(), 0 * w0, []
    for t in range(STEPS):
        g = gradient(t, w)
        rate, last = rate - hyper_rate * np.dot(g, last), base(g)
        w = w + rate * last
        path.append(w)
    return np.array(path)


def test_sgd():
    tx = gradtx.sgd_hd(0.01, 1e-6)
    assert_agrees(tx, lambda w: hypergradient_loop(w, lambda g: -g, 0.01, 1e-6), stated(rates.hypergradient))


def test_adam():
    tx = gradtx.adam_hd(0.01, hyper_rate=1e-5)
    assert_agrees(tx, lambda w: hypergradient_loop(w, adam_steps(1.0), 0.01, 1e-5), stated(rates.hypergradient))


INNER = [gradtx.sgd(1.0), gradtx.adam(1.0), gradtx.sgd(1.0, 0.9), gradtx.adamw(1.0, weight_decay=0.1)]


@pytest.mark.parametrize("inner", INNER, ids=repr)
def test_the_rate_moves_against_the_derivative_of_the_loss(inner):
    """By the last rate, exactly: JAX takes the derivative through the step."""
    with enable_x64(True):
        curves, w = jnp.array([1.0, 10.0, 0.1]), jnp.array([1.0, -2.0, 0.5])

        def loss(w):
            return jnp.sum(curves * w**4)

        for rate in (1e-4, 5e-4):
            step = adapt_learning_rate(inner, rates.constant(rate))
            state = step.init(w)
            _, state = step.update(jax.grad(loss)(w), state, w)  # so that momentum is at work
            w = w - 0.01

            def after(rate, state=state, w=w):
                tx = adapt_learning_rate(inner, rates.constant(rate))
                return loss(w + tx.update(jax.grad(loss)(w), state, w)[0])

            tx = adapt_learning_rate(inner, rates.hypergradient(rate, 1e-12))
            learning = tx.init(w)._replace(inner=state.inner)
            u, learning = tx.update(jax.grad(loss)(w), learning, w)
            _, learning = tx.update(jax.grad(loss)(w + u), learning, w + u)
            np.testing.assert_allclose(learning.rate - rate, -1e-12 * jax.grad(after)(rate), rtol=1e-6)


def test_a_hyper_rate_of_zero_changes_nothing():
    path, _ = walked(adapt_learning_rate(gradtx.adam(1.0), rates.hypergradient(0.01, 0.0)), steps=20)
    want, _ = walked(adapt_learning_rate(gradtx.adam(1.0), rates.constant(0.01)), steps=20)
    np.testing.assert_array_equal(path, want)


def test_the_rate_has_bounds():
    """Downhill it grows to the largest; where steps go too far it falls, and stays 0 or more."""
    gs, start = np.ones((9, 2), np.float32), np.zeros(2, np.float32)
    _, rate = along(gradtx.sgd_hd(0.1, 0.2, 0.5), gs, start, read=lambda s: s.rate)
    np.testing.assert_allclose(rate, [0.1, *[0.5] * 8])
    gs[1::2] = -1.0
    _, rate = along(gradtx.sgd_hd(0.1, 0.2), gs, start, read=lambda s: s.rate)
    assert rate.min() == 0.0


def test_gradients_of_zero_and_huge_ones():
    path, rate = along(gradtx.sgd_hd(0.1), np.zeros((3, W0.size), np.float32), read=lambda s: s.rate)
    np.testing.assert_array_equal(path, np.broadcast_to(W0, path.shape))
    np.testing.assert_array_equal(rate, np.float32(0.1))
    path, rate = along(gradtx.sgd_hd(0.1), np.full_like(path, 1e25), read=lambda s: s.rate)
    assert np.isfinite(path).all()
    np.testing.assert_allclose(rate, [0.1, 1.0, 1.0])


def test_it_needs_steps_of_descent():
    with pytest.raises(ValueError, match="needs steps of descent"):
        adapt_learning_rate(gradtx.scale_by_adam(), rates.hypergradient())


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"init_rate": -1.0}, "init_rate must be finite and at least 0"),
        ({"hyper_rate": -1.0}, "hyper_rate must be finite and at least 0"),
        ({"max_rate": 0.0}, "max_rate must be greater than 0"),
        ({"init_rate": 2.0}, "init_rate must not be greater than max_rate"),
    ],
)
def test_numbers_out_of_range(given, word):
    with pytest.raises(ValueError, match=word):
        rates.hypergradient(**given)
