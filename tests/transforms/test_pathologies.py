"""What goes wrong, as published: Adam on Reddi's two problems, and second moments kept in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def online(tx, gradient, w0, steps):
    """Projected descent over the stream of gradients: x is clipped to [-1, 1] after every step. One scan."""

    @jax.jit
    def play():
        def step(carry, t):
            w, state = carry
            u, state = tx.update(gradient(t), state, w)
            w = jnp.clip(gradtx.apply_updates(w, u), -1.0, 1.0)
            return (w, state), None

        w = jnp.float32(w0)
        (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), jnp.arange(1, steps + 1))
        return w

    return float(play())


def synthetic(t):
    return jnp.where(t % 101 == 1, 1010.0, -10.0)


def theorem_1(t):
    return jnp.where(t % 3 == 1, 3.0, -1.0)


class TestSynthetic:
    """f = 1010 x if t mod 101 = 1, else -10 x: the best point is -1. b = (0.9, 0.99), rate 0.01, 10⁶ steps."""

    @pytest.mark.slow
    def test_adam_goes_to_the_worst_point(self):
        assert online(gradtx.adam(0.01, b2=0.99), synthetic, 0.0, 10**6) == 1.0

    @pytest.mark.slow
    @pytest.mark.parametrize(("maximum_of", "end"), [("corrected", -0.993), ("raw", -0.946)])
    def test_amsgrad_goes_to_the_best(self, maximum_of, end):
        """-0.99 with the maximum of the corrected moment. That of the raw one is still on its way: it is corrected
        after the maximum, by which it was the largest in the first steps and is smaller ever since."""
        tx = gradtx.amsgrad(0.01, b2=0.99, maximum_of=maximum_of)
        assert online(tx, synthetic, 0.0, 10**6) == pytest.approx(end, abs=0.002)


class TestTheorem1:
    """C = 3, b1 = 0, b2 = 1/(1 + C²) = 0.1, rate 0.1/√t, from x = 1, 2·10⁵ steps: the best point is -1."""

    @staticmethod
    def rate(step):
        return 0.1 / jnp.sqrt(step + 1.0)

    def test_adam_stays_at_the_worst_point(self):
        end = online(gradtx.adam(self.rate, 0.0, 0.1), theorem_1, 1.0, 2 * 10**5)
        assert end == pytest.approx(0.9999, abs=1e-4)

    @pytest.mark.parametrize("maximum_of", ["corrected", "raw"])
    def test_amsgrad_goes_to_the_best(self, maximum_of):
        end = online(gradtx.amsgrad(self.rate, 0.0, 0.1, maximum_of=maximum_of), theorem_1, 1.0, 2 * 10**5)
        assert end == pytest.approx(-0.9999, abs=1e-4)


def test_second_moments_of_bfloat16_parameters_do_not_stick():
    """g = 1 for 2,000 steps, b2 0.999: v is 0.865. In bfloat16, where 0.999 is 1, it stops at 0.5."""
    params, tx = jnp.ones(3, jnp.bfloat16), gradtx.scale_by_adam(b2=0.999)
    g = jnp.ones(3, jnp.bfloat16)

    def bfloat16(x):
        return jax.lax.reduce_precision(jnp.float32(x), exponent_bits=8, mantissa_bits=7)

    def step(carry, _):
        state, v = carry
        _, state = tx.update(g, state, params)
        v = bfloat16(bfloat16(bfloat16(0.999) * v) + bfloat16(0.001))
        return (state, v), None

    (state, narrow), _ = jax.lax.scan(step, (tx.init(params), jnp.float32(0.0)), length=2000)
    assert state.nu.dtype == jnp.float32
    np.testing.assert_allclose(state.nu, 1 - 0.999**2000, rtol=1e-5)
    assert float(state.nu[0]) == pytest.approx(0.865, abs=5e-4)
    assert float(narrow) == 0.5
