"""Products of matrices at full precision, and adjoints."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    """x·y. At the default precision, accelerators would multiply float32 with three digits; bfloat16 has no others."""
    return jnp.matmul(x, y, precision=None if x.dtype == jnp.bfloat16 else "highest")


def adjoint(x: jax.Array) -> jax.Array:
    """xᴴ, of a matrix or of a stack."""
    return x.mT.conj()
