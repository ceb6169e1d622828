"""Descent by signs: exact but where the mean under the sign cancels to within its rounding."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement


def mean_and_size(gs, beta):
    m = size = 0
    for g in gs:
        m, size = beta * m + (1 - beta) * g, beta * size + (1 - beta) * np.abs(g)
        yield m, size


def test_signs_of_the_mean_over_a_thousand_steps():
    """Bit for bit where the mean is above 1e-6 of the mean of the sizes, which is nearly everywhere."""
    gs = agreement.gradients()
    m, size = (np.stack(x) for x in zip(*mean_and_size(gs.astype(np.float64), 0.9), strict=True))
    got, _ = agreement.run(gradtx.signum(1.0), gs)
    clear = ((np.abs(m) >= 1e-6 * size) & (np.abs(m) > 1e-37)) | (size == 0)
    np.testing.assert_array_equal(np.asarray(got)[clear], -np.sign(m)[clear])
    assert clear.mean() > 0.98


def test_signs_of_the_gradients():
    gs = agreement.gradients()
    np.testing.assert_array_equal(agreement.run(gradtx.sign_sgd(0.5), gs)[0], -0.5 * np.sign(gs))
    np.testing.assert_array_equal(agreement.run(gradtx.signum(0.5, 0.0), gs)[0], -0.5 * np.sign(gs))


def test_chains():
    assert_same_chain(gradtx.sign_sgd(RATE), gradtx.scale_by_sign(), lr(RATE))
    mean = gradtx.ema(0.8, debias=False)
    assert_same_chain(gradtx.signum(RATE, 0.8), mean, gradtx.scale_by_sign(), lr(RATE))


def test_a_small_gradient_moves_as_far_as_a_large_one():
    us, _ = agreement.run(gradtx.sign_sgd(0.1), jnp.array([[1e-30, -1e25, 0.0]]))
    np.testing.assert_allclose(us, [[-0.1, 0.1, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("beta", [1.0, -0.1, np.nan])
def test_out_of_range(beta):
    with pytest.raises(ValueError, match=r"beta must be in \[0, 1\)"):
        gradtx.signum(0.1, beta)
