"""Divisors that are no squares: blocks of mixed magnitudes must not make steps too long."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import storage
from gradtx.catalog import RECIPES

GRADS = jnp.concatenate([jnp.full(128, 1e3), jnp.full(128, 1e-6)])


@functools.cache
def longest_step(tx, steps=200):
    """The largest update that any entry gets."""

    def body(carry, _):
        params, state = carry
        updates, state = tx.update(GRADS, state, params)
        return (params, state), jnp.max(jnp.abs(updates))

    params = jnp.zeros(256)
    return float(jnp.max(jax.lax.scan(body, (params, tx.init(params)), length=steps)[1]))


@pytest.mark.parametrize("codec", [storage.int8(), storage.int4(), storage.float8(), storage.bfloat16()], ids=str)
@pytest.mark.parametrize(
    "optimizer", [e.factory for e in RECIPES.values() if {"b2", "eps"} <= e.usual.keys() and not e.laws]
)
def test_a_small_entry_in_a_block_with_a_large_one(optimizer, codec):
    """With a moment in few bytes no step is longer than three times the exact one."""
    exact = longest_step(optimizer(1.0))
    assert longest_step(gradtx.store(optimizer(1.0), codec, min_size=1)) <= 3 * exact


def test_a_magnitude_comes_back_as_itself():
    """Within the rounding of its square: half the relative error."""
    x = jnp.asarray(np.geomspace(1.0, 1e-3, 64), jnp.float32)
    tx = gradtx.store(gradtx.scale_by_adamax(b2=0.0, eps=0.0), storage.int8(), min_size=1)
    _, state = tx.update(x, tx.init(x), x)
    kept = storage.int8().decode("nonnegative", state.inner.nu.codes, state.inner.nu.scales, x)
    np.testing.assert_allclose(np.sqrt(kept), x, rtol=0.07)
