"""Frames against optax where it has the same: real and imaginary parts, and GaLore within one basis."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import frames
from gradtx.double_precision import double_precision

pytestmark = pytest.mark.peers


def updates_of(tx, gradients):
    w = jnp.zeros(gradients.shape[1:], gradients.dtype)
    return np.asarray(jax.lax.scan(lambda s, g: tx.update(g, s, w)[::-1], tx.init(w), jnp.asarray(gradients))[1])


def test_adam_by_parts():
    random = np.random.default_rng(0)
    gradients = random.normal(size=(100, 3, 4)) + 1e-3j * random.normal(size=(100, 3, 4))
    with double_precision():
        ours = updates_of(gradtx.in_frame(gradtx.adam(0.1), frames.real_and_imaginary()), gradients)
        theirs = updates_of(optax.contrib.split_real_and_imaginary(optax.adam(0.1)), gradients)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_galore_takes_directions_of_the_longer_side_in_optax():
    """Its state has r × n for m × n with m ≥ n, where ours, and the paper's, has m × r."""
    w = jnp.zeros((12, 5))
    assert optax.contrib.galore(0.1, rank=3).init(w)[0].base_optimizer_state.mu.shape == (3, 5)
    assert gradtx.galore(0.1, rank=3).init(w)["in_frame"].inner.mu.shape == (12, 3)


def test_galore_is_the_same_for_square_matrices_until_the_second_basis():
    """To 1e-6, since optax computes its directions in float32; later the signs of the directions differ."""
    gradients = np.random.default_rng(0).normal(size=(30, 6, 6))
    with double_precision():
        ours = updates_of(gradtx.galore(0.1, rank=3, every=20, scale=0.5), gradients)
        theirs = updates_of(optax.contrib.galore(0.1, rank=3, update_proj_gap=20, scale=0.5), gradients.mT)
    np.testing.assert_allclose(ours[:20], theirs[:20].mT, rtol=0, atol=1e-6)
    assert np.max(np.abs(ours[20:] - theirs[20:].mT)) > 1e-3
