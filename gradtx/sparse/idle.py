"""Steps without gradient: what rows that missed them have to catch up with."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.special import RefusedError


class NoIdleRuleError(RefusedError, TypeError):
    """A transformation that does not say what steps without gradient make of its state was told of such steps."""

    def __str__(self) -> str:
        return (
            f"{self.piece or 'this transformation'} does not say what steps without gradient do to its state, so "
            f"decay_skipped_rows cannot catch up with them: leave it out, and rows without gradient rest, or give the "
            f"gradient's .dense(). Of a transformation of your own, say it: map_leaves(..., idle=(decay,))"
        )


def wide_dtype(*dtypes: Any) -> Any:
    """The type in which numbers of these types are added: float32 or wider, complex where one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes, jnp.dtype("float32"))


def power(decay: Any, t: jax.Array) -> jax.Array:
    """`decay^t` for a decay in [0, 1] and t >= 0; a Python number is not rounded first."""
    never = t == 0  # apart: JAX's derivative of 0⁰ is NaN
    if isinstance(decay, float):
        powers = jnp.exp(t * math.log(decay)) if decay > 0 else jnp.zeros_like(t)
    else:
        powers = jnp.asarray(decay).astype(t.dtype) ** jnp.where(never, 1.0, t)
    return jnp.where(never, 1.0, powers).astype(t.dtype)
