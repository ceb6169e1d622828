"""The norm of a tree: one place, so that it is right once."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import abs_sq, safe_sqrt
from gradtx.core.trees import is_trained


def global_norm(tree: Any) -> jax.Array:
    """The Euclidean norm of all trained leaves together: a float32 (or wider) scalar.

        ‖g‖₂ = √Σ|g|²

    Right from the smallest to the largest entries: where the plain sum of squares overflows or vanishes, the entries
    are first divided by the largest. Its derivative at zero is zero.

    Args:
        tree: the updates; leaves that are not trained do not count.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.global_norm({"a": jnp.array([3e20]), "b": jnp.array(4e20)}))
        5e+20
    """
    width = float_dtype(tree)
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree) if is_trained(x)]
    leaves = [x.astype(at_width(x.dtype, width)) for x in leaves if x.size]
    if not leaves:
        return jnp.zeros((), width)

    return _norm(leaves)


@jax.jit  # of the module: an eager call neither traces nor compiles the branches again
def _norm(leaves: list) -> jax.Array:
    """The root of the sum of squares; where that overflows or vanishes, of the leaves times a power of two."""
    squares = sum(_sum_of_squares(x) for x in leaves)
    info = jnp.finfo(leaves[0].dtype)
    power = 2.0 ** (3 * info.maxexp // 4)

    def scaled(squares: jax.Array) -> jax.Array:
        unit = jnp.where(squares > 1, 1 / power, power).astype(squares.dtype)
        return safe_sqrt(sum(_sum_of_squares(x * unit.astype(x.dtype)) for x in leaves)) / unit

    # Below tiny/eps the squares have lost digits to underflow; the second pass runs only then, or on overflow.
    safe = (squares <= info.max) & (squares > info.tiny / info.eps)
    return jax.lax.cond(safe, safe_sqrt, scaled, squares)


@functools.partial(jax.jit, inline=True)  # of the module, so that each shape is traced once
def _sum_of_squares(x: jax.Array) -> jax.Array:
    return jnp.sum(abs_sq(x))
