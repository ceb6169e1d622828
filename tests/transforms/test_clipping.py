"""Clipping, by value and by the norm of the whole tree, from 1e-30 to infinity."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

CASES = [
    Case(gradtx.clip_by_value(1.0), partial(reference.clipped_by_value, largest=1.0), ulp=0, signs_cancel=False),
    Case(gradtx.clip_by_global_norm(1.0), partial(reference.clipped_by_norm, largest=1.0), ulp=4, signs_cancel=False),
    Case(gradtx.clip_by_global_norm(1e12), partial(reference.clipped_by_norm, largest=1e12), ulp=4, signs_cancel=False),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.Agreement):
    pass


def test_docstring():
    agreement.assert_docstring_states(CASES[1])


def clip(updates, max_norm=1.0):
    return gradtx.clip_by_global_norm(max_norm).update(updates, gradtx.EmptyState())[0]


class TestGlobalNorm:
    @pytest.mark.parametrize("size", [1e20, 1e30, 1e37])
    def test_beyond_the_range_of_squares(self, size):
        u = clip({"a": jnp.array([3 * size, 0.0]), "b": jnp.array(-4 * size)})
        np.testing.assert_allclose(u["a"], [0.6, 0.0], rtol=1e-6)
        np.testing.assert_allclose(u["b"], -0.8, rtol=1e-6)

    def test_small_ones_pass_untouched(self):
        g = jnp.array([3e-30, -4e-30])
        np.testing.assert_array_equal(clip(g), g)

    def test_small_ones_over_a_smaller_bound(self):
        np.testing.assert_allclose(clip(jnp.array([3e-30, -4e-30]), 1e-30), [0.6e-30, -0.8e-30], rtol=1e-6)

    def test_at_the_bound_nothing_changes(self):
        g = jnp.array([3.0, 4.0])
        np.testing.assert_array_equal(clip(g, 5.0), g)

    def test_float16_is_summed_in_float32(self):
        u = clip(jnp.full(10_000, 300.0, jnp.float16))
        assert u.dtype == jnp.float32
        np.testing.assert_allclose(u, 0.01, rtol=1e-5)

    def test_zero_and_its_derivative(self):
        g = jnp.zeros(3)
        np.testing.assert_array_equal(clip(g), g)
        np.testing.assert_array_equal(jax.jacobian(clip)(g), jnp.eye(3))

    def test_the_derivative_of_a_clipped_one(self):
        """u = g/‖g‖: the derivative is what is left of the identity across g."""
        g = jnp.array([3.0, 4.0])
        want = (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5
        np.testing.assert_allclose(jax.jacobian(clip)(g), want, atol=1e-7)

    def test_infinity_gives_nan_there_and_zero_elsewhere(self):
        u = clip({"a": jnp.array([jnp.inf, 1.0]), "b": jnp.array([-2.0])})
        np.testing.assert_array_equal(u["a"], [np.nan, 0.0])
        np.testing.assert_array_equal(u["b"], [0.0])

    def test_nan_spreads(self):
        u = clip({"a": jnp.array([jnp.nan, 1.0]), "b": jnp.array([2.0])})
        assert np.isnan(u["a"]).all()
        assert np.isnan(u["b"]).all()

    def test_mixed_types_keep_one_norm(self):
        u = clip({"a": jnp.array([2.0], jnp.bfloat16), "b": jnp.array([2.0]), "c": jnp.array([2.0 + 2.0j]), "n": None})
        np.testing.assert_allclose(u["a"], [0.5])
        np.testing.assert_allclose(u["b"], [0.5])
        np.testing.assert_allclose(u["c"], [0.5 + 0.5j])
        assert u["n"] is None

    def test_float64(self):
        with enable_x64(True):
            u = clip({"a": jnp.array([3e200]), "b": jnp.array(4e200)})
            assert u["a"].dtype == jnp.float64
            np.testing.assert_allclose(u["a"], [0.6], rtol=1e-15)
            np.testing.assert_allclose(u["b"], 0.8, rtol=1e-15)

    def test_infinity_switches_it_off(self):
        g = jnp.array([3e30, -4.0])
        np.testing.assert_array_equal(clip(g, np.inf), g)

    @pytest.mark.parametrize("bound", [0.0, -1.0, np.nan])
    def test_bounds_that_are_none(self, bound):
        with pytest.raises(ValueError, match="max_norm must be greater than 0"):
            gradtx.clip_by_global_norm(bound)


class TestValue:
    def test_nan_and_infinity(self):
        u, _ = gradtx.clip_by_value(1.0).update(jnp.array([jnp.nan, jnp.inf, -jnp.inf, -0.5]), gradtx.EmptyState())
        np.testing.assert_array_equal(u, [np.nan, 1.0, -1.0, -0.5])

    def test_complex_entries_keep_their_argument(self):
        u, _ = gradtx.clip_by_value(1.0).update(jnp.array([3.0 - 4.0j, 0.1j, 0.0j]), gradtx.EmptyState())
        np.testing.assert_allclose(u, [0.6 - 0.8j, 0.1j, 0.0], rtol=1e-6)

    def test_bounds_that_are_none(self):
        with pytest.raises(ValueError, match="max_delta must be greater than 0"):
            gradtx.clip_by_value(0.0)
