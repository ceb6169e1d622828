"""Lengths and angles that neither overflow nor vanish, nor leave their range by rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def unit(largest: jax.Array) -> jax.Array:
    """A power of two near 1 over this, 1 where there is none: entries times it have squares that can be summed."""
    known = (largest > 0) & jnp.isfinite(largest)
    most = jnp.finfo(largest.dtype).maxexp - 28
    power = jnp.clip(jnp.round(jnp.log2(jnp.where(known, largest, 1))), -most, most)
    return jnp.ldexp(jnp.ones_like(largest), -power.astype(jnp.int32))  # exp2 is not exact


def cosine(dot: Any, a: Any, b: Any, otherwise: float) -> jax.Array:
    """<x, y>/(|x||y|) from the product and the squares |x|², |y|², in [-1, 1]; `otherwise` where one is not above 0."""
    both = (a > 0) & (b > 0)
    product = jnp.where(both, jnp.sqrt(a) * jnp.sqrt(b), 1)
    return jnp.where(both, jnp.clip(dot / product, -1, 1), otherwise)
