"""How a leaf function meets a RowSparse: it is given rows, and its results are put back where they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.rows import RowSparse, put, replaced, take, wide_dtype


class NoIdleRuleError(TypeError):
    """A transformation that does not say what steps without gradient make of its state was told of such steps."""

    def __init__(self):
        super().__init__()
        self.piece = ""  # its name, which the core fills in

    def __str__(self) -> str:
        return (
            f"{self.piece or 'this transformation'} does not say what steps without gradient do to its state, so "
            f"decay_skipped_rows cannot catch up with them: leave it out, and rows without gradient rest, or give the "
            f"gradient's .dense(). Of a transformation of your own, say it: map_leaves(..., idle=(decay,))"
        )


def opened(g: RowSparse, trees: Sequence[Any], idle: Sequence[Any] | None) -> tuple:
    """The rows of g and those of other arrays at its place, as a leaf function takes them.

    Args:
        g: the update, with distinct rows.
        trees: the arrays at its place in the other trees.
        idle: for each of them what a step without gradient multiplies it by, None where it changes nothing; None for
            all where that is not known.
    """
    for x in trees:
        if isinstance(x, RowSparse):
            raise TypeError("two RowSparse gradients cannot meet in one leaf function: give .dense() of the second")
    rows = [take(g, jnp.asarray(x)) for x in trees]
    if g.skipped is not None and trees:
        if idle is None:
            raise NoIdleRuleError
        rows = [x if factor is None else _caught_up(x, factor, g) for x, factor in zip(rows, idle, strict=True)]
    return g.values, *rows


def closed(g: RowSparse, results: tuple, trees: Sequence[Any]) -> tuple:
    """What a leaf function made of the rows, as leaves again: the update of these rows, and the arrays with theirs."""
    states = (put(g, jnp.asarray(x), new) for x, new in zip(trees, results[1:], strict=False))
    return with_values(g, results[0]), *states


def _caught_up(x: jax.Array, factor: Any, g: RowSparse) -> jax.Array:
    """Rows of a state after the steps without gradient that they have missed: `x·factor^skipped`."""
    wide = wide_dtype(x.dtype)
    real = jnp.finfo(wide).dtype
    return x.astype(wide) * along(g, power(factor, g.skipped.astype(real))).astype(wide)


def power(decay: Any, t: jax.Array) -> jax.Array:
    """`decay^t` for a decay in [0, 1] and t >= 0; a Python number is not rounded first."""
    never = t == 0  # apart: JAX's derivative of 0⁰ is NaN
    if isinstance(decay, float):
        powers = jnp.exp(t * math.log(decay)) if decay > 0 else jnp.zeros_like(t)
    else:
        powers = jnp.asarray(decay).astype(t.dtype) ** jnp.where(never, 1.0, t)
    return jnp.where(never, 1.0, powers).astype(t.dtype)


def along(g: RowSparse, values: jax.Array) -> jax.Array:
    """One number for each row of g, in the shape in which it meets the values."""
    return values.reshape(values.shape[0], *[1] * (g.ndim - 1))


def with_values(g: RowSparse, values: jax.Array) -> RowSparse:
    """Other values for the rows of g; 0 where it has padding, whatever came out there."""
    if g.indices is not None:
        values = jnp.where(along(g, g.indices < g.shape[0]), values, jnp.zeros((), values.dtype))
    return replaced(g, values)
