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


@jax.custom_jvp  # a loop has no reverse derivative of its own
def _norm(leaves: list) -> jax.Array:
    """The root of the sum of squares; where that overflows or vanishes, once more of leaves times a power of two.

    A loop and not a branch, so that the second pass is the code of the first: nothing is compiled for it.
    """
    info = jnp.finfo(leaves[0].dtype)
    power = 2.0 ** (3 * info.maxexp // 4)

    def squares(carry: tuple) -> tuple:
        tries, unit, _, _ = carry
        total = sum(_sum_of_squares(x, unit) for x in leaves)
        # Below tiny/eps the squares have lost digits to underflow.
        safe = (total <= info.max) & (total > info.tiny / info.eps)
        following = jnp.where(total > 1, 1 / power, power).astype(info.dtype)
        return jnp.where(safe, 2, tries + 1), following, unit, total

    one = jnp.ones((), info.dtype)
    *_, unit, total = jax.lax.while_loop(lambda carry: carry[0] < 2, squares, (0, one, one, one))
    return safe_sqrt(total) / unit


@_norm.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (leaves,), (directions,) = primals, tangents
    norm = _norm(leaves)
    scale = jnp.where(norm > 1, 2.0**-64, 2.0**64).astype(norm.dtype)  # 1/norm alone can be too small or too large
    divisor = jnp.where(norm == 0, 1.0, norm) * scale
    pairs = zip(leaves, directions, strict=True)
    parts = [((x * scale.astype(x.dtype) / divisor.astype(x.dtype)).conj() * d).real for x, d in pairs]
    return norm, jnp.asarray(sum(map(jnp.sum, parts)))


@functools.partial(jax.jit, inline=True)  # of the module, so that each shape is traced once
def _sum_of_squares(x: jax.Array, unit: jax.Array) -> jax.Array:
    return jnp.sum(abs_sq(unit.astype(x.dtype) * x))
