"""How the state of a row catches up with steps in which the row had no gradient."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.special import RefusedError


class NoIdleRuleError(RefusedError, TypeError):
    """A transformation has to catch up with skipped steps, but does not say what they do to its state."""

    def __str__(self) -> str:
        return (
            f"{self.piece or 'this transformation'} does not say what steps without gradient do to its state, so "
            f"decay_skipped_rows cannot make up for them. Leave it out, so that such rows do not change, or "
            f"pass the gradient's .dense(). In your own transformation, call map_leaves(..., idle=(decay,))"
        )


def wide_dtype(*dtypes: Any) -> Any:
    """The dtype in which numbers of these dtypes are added: float32 or wider, and complex if one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes, jnp.dtype("float32"))


def power(decay: Any, t: jax.Array) -> jax.Array:
    """`decay^t` for a decay in [0, 1] and t >= 0. A Python number is used in double precision."""
    never = t == 0  # a case of its own, since JAX's derivative of 0⁰ is NaN
    if isinstance(decay, float):
        powers = jnp.exp(t * math.log(decay)) if decay > 0 else jnp.zeros_like(t)
    else:
        powers = jnp.asarray(decay).astype(t.dtype) ** jnp.where(never, 1.0, t)
    return jnp.where(never, 1.0, powers).astype(t.dtype)
