"""The worked example, step by step: E(w) = 3 w1² + 10 w2² from w = (-15, 20); and the laws of RMSProp's first step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

W0 = np.array([-15.0, 20.0])
SLOPES = np.array([6.0, 20.0])


def descend(tx, steps):
    """The parameters and the states after each step, in float32."""
    w, out = jnp.array(W0, jnp.float32), []
    state = tx.init(w)
    for _ in range(steps):
        u, state = tx.update(jnp.array(SLOPES, jnp.float32) * w, state, w)
        w = gradtx.apply_updates(w, u)
        out.append((np.asarray(w, np.float64), state))
    return out


def test_gradient_descent():
    (w1, _), (w2, _) = descend(gradtx.sgd(0.001), 2)
    np.testing.assert_allclose(w1, [-14.91, 19.60], atol=2e-6)
    np.testing.assert_allclose(w2, W0 * (1 - 0.001 * SLOPES) ** 2, rtol=3e-7)
    np.testing.assert_array_equal(w2.round(2), [-14.82, 19.21])


def test_rmsprop():
    steps = descend(gradtx.rmsprop(0.05, decay=0.9, eps=1e-8), 2)
    w, s = W0, np.zeros(2)
    for got, state in steps:
        g = SLOPES * w
        s = 0.9 * s + 0.1 * g**2
        w = w - 0.05 * g / np.sqrt(s + 1e-8)
        np.testing.assert_allclose(got, w, rtol=3e-7)
        np.testing.assert_allclose(state["scale_by_rms"].nu, s, rtol=5e-7)
    (w1, state1), (w2, state2) = steps
    np.testing.assert_array_equal(w1.round(2), [-14.84, 19.84])
    np.testing.assert_array_equal(w2.round(2), [-14.73, 19.73])
    np.testing.assert_allclose(state1["scale_by_rms"].nu, [810.0, 16000.0], rtol=2e-7)
    # The second figure of the text was computed from the rounded w(1).
    rounded = 0.9 * np.array([810.0, 16000.0]) + 0.1 * (SLOPES * [-14.84, 19.84]) ** 2
    np.testing.assert_allclose(rounded, [1521.81, 30145.02], atol=0.006)
    np.testing.assert_allclose(state2["scale_by_rms"].nu, rounded, rtol=3e-4)


def test_the_first_step_does_not_see_the_size_of_the_gradient():
    g = jnp.array([1e-2, -1.0, 1e3, -1e12])
    tx = gradtx.rmsprop(0.05, decay=0.9, eps=1e-12)
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(u, -0.05 / np.sqrt(0.1) * np.sign(g), rtol=1e-6)
    assert abs(0.05 / np.sqrt(0.1) - 0.158) < 2e-4


def test_decay_zero_is_the_sign():
    tx = gradtx.scale_by_rms(decay=0.0)
    state = tx.init(jnp.zeros(3))
    for g in ([1.0, -2.0, 1e6], [-1e-2, 5.0, 3.0], [7.0, -7.0, 1e-1]):
        u, state = tx.update(jnp.array(g), state)
        np.testing.assert_allclose(u, np.sign(g), rtol=1e-4)


def test_decay_one_keeps_the_first_divisor():
    tx = gradtx.scale_by_rms(decay=1.0, eps=1e-8)
    state = tx.init(jnp.zeros(2))
    for g in ([1.0, -2.0], [0.1, 30.0]):
        u, state = tx.update(jnp.array(g), state)
        np.testing.assert_allclose(u, np.array(g) / 1e-4, rtol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_amplification_map(rho):
    """|v(2)| of C(g1, g2) = |v(2)| - |g2|, with eta 1 and eps 1e-8 inside, from the transformation."""
    g1, g2 = (a.ravel().astype(np.float32) for a in np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-3, 3, 7)))
    tx = gradtx.scale_by_rms(rho, 1e-8)
    _, state = tx.update(jnp.asarray(g1), tx.init(jnp.zeros(g1.shape)))
    v2, _ = tx.update(jnp.asarray(g2), state)
    want = g2 / np.sqrt((1 - rho) * (rho * g1.astype(float) ** 2 + g2.astype(float) ** 2) + 1e-8)
    np.testing.assert_allclose(v2, want, rtol=1e-6)


def test_the_map_is_red_near_zero_and_blue_far_away():
    tx = gradtx.scale_by_rms(0.9, 1e-8)

    def c(g1, g2):
        _, state = tx.update(jnp.float32(g1), tx.init(jnp.float32(0.0)))
        return abs(float(tx.update(jnp.float32(g2), state)[0])) - abs(g2)

    assert c(0.1, 0.1) > 2.0
    assert c(0.1, 10.0) < -6.0
    assert c(10.0, 0.1) == pytest.approx(0.1 / np.sqrt(0.1 * (0.9 * 100 + 0.01)) - 0.1, rel=1e-5)
    assert c(10.0, 0.1) < 0.0


def test_momentum_and_adaptive_methods_leave_a_saddle():
    """f = x² - y², from y = 1e-6: plain descent with a small rate is still there when the others are far away."""

    def y_after(tx, steps=60):
        w = jnp.array([1.0, 1e-6])

        def step(carry, _):
            w, state = carry
            u, state = tx.update(jnp.array([2.0, -2.0]) * w, state, w)
            return (gradtx.apply_updates(w, u), state), None

        (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), length=steps)
        return float(w[1])

    assert y_after(gradtx.sgd(0.01)) < 1e-5
    assert y_after(gradtx.sgd(0.01, momentum=0.9)) > 10 * y_after(gradtx.sgd(0.01))
    assert all(y_after(tx) > 0.1 for tx in (gradtx.rmsprop(0.01), gradtx.adam(0.01)))
