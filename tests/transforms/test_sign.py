"""The sign: exact in every type, and of complex numbers the phase."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.transforms import agreement

CASE = agreement.Case(gradtx.scale_by_sign(), reference.sign, ulp=0)


def test_float32():
    gs = agreement.gradients()
    got, _ = agreement.run(CASE.tx, gs)
    clear = (np.abs(gs) > 1e-37) | (gs == 0)
    np.testing.assert_array_equal(np.asarray(got)[clear], reference.sign(gs.astype(np.float64))[clear])
    assert clear.mean() > 0.995


def test_float64():
    agreement.assert_agrees_in_float64(CASE)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_gradients(dtype):
    agreement.assert_half_gradients_are_read_exactly(CASE, dtype)


def test_of_complex_zero_and_tiny():
    u, _ = gradtx.scale_by_sign().update(jnp.array([3.0 - 4.0j, 0.0j, 1e-30 + 0.0j]), gradtx.EmptyState())
    np.testing.assert_allclose(u, [0.6 - 0.8j, 0.0, 1.0], rtol=1e-6)
