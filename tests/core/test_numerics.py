"""Bias corrections to a few ulp for every decay and count, and a count that stops at its largest number."""

import decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.core.numerics import COUNT_MAX, bias_correction, clip_and_square, increment
from tests.double import enable_x64


class TestBiasCorrection:
    COUNTS = (1, 2, 3, 10, 1000, 65_537, 10**6, 2**24 + 1, 10**8, 2**31 - 1)
    DECAYS = (0.0, 1e-8, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-7, 1 - 1e-8)

    @staticmethod
    def exact(decay, t):
        with decimal.localcontext(decimal.Context(prec=60, Emin=-(10**15), Emax=10**15)):
            d = decimal.Decimal(decay)
            return float(1 - (d**t if d else 0))

    @pytest.mark.parametrize("decay", DECAYS)
    def test_python_decay(self, decay):
        """In float32 the step is rounded to it (1 ulp), the product too, and expm1 adds its own: 4 ulp."""
        got = bias_correction(decay, jnp.array(self.COUNTS, jnp.int32), jnp.float32)
        want = np.array([self.exact(decay, t) for t in self.COUNTS])
        assert np.max(np.abs(got - want) / np.spacing(want.astype(np.float32))) <= 4

    @pytest.mark.parametrize("decay", DECAYS)
    def test_python_decay_in_float64(self, decay):
        with enable_x64(True):
            got = np.asarray(bias_correction(decay, jnp.array(self.COUNTS, jnp.int32), jnp.float64))
        np.testing.assert_allclose(got, [self.exact(decay, t) for t in self.COUNTS], rtol=1e-14)

    @pytest.mark.parametrize("decay", [0.0, 0.1, 0.3, 0.499, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 2**-24])
    def test_array_decay(self, decay):
        """Exact for the decay as float32 holds it; its logarithm is right to an ulp, and so is the correction."""
        decay = np.float32(decay)
        got = bias_correction(jnp.asarray(decay), jnp.array(self.COUNTS, jnp.int32), jnp.float32)
        want = np.array([self.exact(float(decay), t) for t in self.COUNTS])
        assert np.max(np.abs(got - want) / np.spacing(want.astype(np.float32))) <= 6

    def test_the_derivative_with_respect_to_the_decay(self):
        for decay, t in [(0.0, 3), (0.3, 2), (0.9, 10), (0.999, 1000)]:
            got = jax.grad(lambda d, t=t: bias_correction(d, jnp.int32(t), jnp.float32))(jnp.float32(decay))
            assert float(got) == pytest.approx(-t * decay ** (t - 1), rel=1e-4)


class TestClipAndSquare:
    LIMIT = float(np.sqrt(np.finfo(np.float32).max))

    @pytest.mark.parametrize("shape", [(), (3,)])
    def test_the_square_of_a_constant_times_a_number_under_jit(self, shape):
        """XLA squares the factors apart, where only the product has a square: c²·s² was NaN, or infinite."""
        for c, s in [(1e25, 1e-6), (1e25, 1e-25), (1e-30, 1e30), (1e-25, 1e25), (1e-30, 1e36), (-np.inf, 1.0)]:
            constant = np.full(shape, c, np.float32)
            cut, square = jax.jit(lambda s, c=constant: clip_and_square(c * s))(jnp.float32(s))
            np.testing.assert_allclose(cut, np.full(shape, max(c * s, -self.LIMIT)), rtol=1e-5)
            np.testing.assert_allclose(square, np.full(shape, c * c * s * s if np.isfinite(c) else np.nan), rtol=1e-5)

    def test_entries_that_have_no_square(self):
        cut, square = clip_and_square(jnp.array([0.0, -3.0, 1e25, -1e25, jnp.inf, jnp.nan]))
        np.testing.assert_allclose(cut, [0.0, -3.0, self.LIMIT, -self.LIMIT, self.LIMIT, np.nan], rtol=1e-5)
        np.testing.assert_allclose(square, [0.0, 9.0, self.LIMIT**2, self.LIMIT**2, np.nan, np.nan], rtol=1e-5)


class TestCount:
    def test_it_stops_at_the_largest_number(self):
        assert COUNT_MAX == 2**31 - 1
        assert int(increment(jnp.int32(COUNT_MAX - 1))) == COUNT_MAX
        assert int(increment(jnp.int32(COUNT_MAX))) == COUNT_MAX
