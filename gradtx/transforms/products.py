"""Products of matrices at full precision, adjoints, and entries whose products do not overflow."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gradtx.core.numerics import on_real_and_imag


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    """x·y. At the default precision, accelerators would multiply float32 with three digits; bfloat16 has no others."""
    return jnp.matmul(x, y, precision=None if x.dtype == jnp.bfloat16 else "highest")


def adjoint(x: jax.Array) -> jax.Array:
    """xᴴ, of a matrix or of a stack."""
    return x.mT.conj()


def bounded(x: jax.Array, parts: int = 1) -> jax.Array:
    """x with entries clipped where a rotation of its rows and columns would overflow; an infinite one becomes NaN.

    That is at a quarter of the largest float over the root of the number of entries of the matrix. x may be one of
    several equal parts of it.
    """
    limit = float(jnp.finfo(x.dtype).max) / math.sqrt(max(parts * x.shape[-2] * x.shape[-1], 1)) / 4
    return on_real_and_imag(lambda x: (jnp.clip(x, -limit, limit) + (x - x),))(x)[0]
