"""The smallest pieces."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.transforms.agreement import enable_x64

NOTHING = gradtx.EmptyState()


def test_identity_is_the_same_object():
    tree = {"a": jnp.ones(2, jnp.bfloat16), "b": None}
    assert gradtx.identity().update(tree, NOTHING)[0] is tree


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_scale_computes_in_float32(dtype):
    g = jnp.array([1.0, -300.0, 1e-4], dtype)
    u, _ = gradtx.scale(-0.1).update(g, NOTHING)
    assert u.dtype == jnp.float32
    np.testing.assert_allclose(u, -0.1 * np.asarray(g, np.float64), rtol=1e-7)


def test_scale_in_float64():
    with enable_x64(True):
        u, _ = gradtx.scale(0.1).update(jnp.array([1.0, 3.0]), NOTHING)
        np.testing.assert_array_equal(u, 0.1 * np.array([1.0, 3.0]))


def test_learning_rate_has_the_minus_and_can_lose_it():
    g = jnp.array([2.0, -4.0])
    np.testing.assert_array_equal(gradtx.scale_by_learning_rate(0.5).update(g, NOTHING)[0], [-1.0, 2.0])
    np.testing.assert_array_equal(
        gradtx.scale_by_learning_rate(0.5, flip_sign=False).update(g, NOTHING)[0], [1.0, -2.0]
    )


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf])
def test_rates_that_are_none(rate):
    with pytest.raises(ValueError, match="learning_rate must be finite and at least 0"):
        gradtx.scale_by_learning_rate(rate)
    with pytest.raises(TypeError):
        gradtx.scale_by_learning_rate(None)


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_factors_that_are_none(factor):
    with pytest.raises(ValueError, match="step_size must be finite"):
        gradtx.scale(factor)


def test_set_to_zero_removes_nan_and_infinities():
    tree = {
        "a": jnp.array([jnp.nan, jnp.inf, 1.0]),
        "b": jnp.array([jnp.nan], jnp.bfloat16),
        "n": None,
        "i": jnp.arange(3),
    }
    u, _ = gradtx.set_to_zero().update(tree, NOTHING)
    np.testing.assert_array_equal(u["a"], np.zeros(3))
    np.testing.assert_array_equal(u["b"].astype(jnp.float32), [0.0])
    assert u["b"].dtype == jnp.bfloat16
    assert u["n"] is None
    np.testing.assert_array_equal(u["i"], np.arange(3))
