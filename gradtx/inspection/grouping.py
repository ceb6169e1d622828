"""Sums: over the entries of a leaf, several in one pass; over groups of leaves, without overflow."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.inspection.geometry import cosine, unit

ABSENT = -2.0
"""Stands for a number that does not apply, where a state may hold no NaN; `readings` makes NaN of it."""


class Groups(NamedTuple):
    """Sums over the members of each group."""

    of: np.ndarray
    count: int

    def sums(self, x: Any) -> jax.Array:
        alone = len(self.of) == self.count and np.array_equal(self.of, np.arange(self.count))
        return jnp.asarray(x) if alone else jax.ops.segment_sum(jnp.asarray(x), self.of, self.count)

    def least(self, x: jax.Array) -> jax.Array:
        return jax.ops.segment_min(x, self.of, self.count)

    def norms(self, x: jax.Array) -> jax.Array:
        """The root of the sum of squares of norms, (leaves, kinds), without overflow."""
        largest = -jax.ops.segment_min(-x, self.of, self.count)
        scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
        return jnp.sqrt(self.sums(jnp.square(x / scale[self.of]))) * scale

    def along(self, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of two vectors, the cosine, and the share of places with the same sign, among those where neither is 0."""
        pair = [x * unit(-jax.ops.segment_min(-jnp.abs(x), self.of, self.count))[self.of] for x in (a, b)]
        products = jnp.stack([pair[0] * pair[1], jnp.square(pair[0]), jnp.square(pair[1])], 1)
        dot, aa, bb = jnp.unstack(self.sums(products), axis=1)
        known = (a != 0) & (b != 0) & jnp.isfinite(a) & jnp.isfinite(b)
        same = known & ((a > 0) == (b > 0))
        agree, among = jnp.unstack(self.sums(jnp.stack([same, known], 1).astype(a.dtype)), axis=1)
        return cosine(dot, aa, bb, ABSENT), over(agree, among)


def over(x: Any, y: Any) -> jax.Array:
    """x / y, and `ABSENT` where y is 0."""
    return jnp.where(y == 0, ABSENT, x / jnp.where(y == 0, 1, y))


def reduced(sums: Sequence[jax.Array], ranged: Sequence[jax.Array], dtype: Any) -> tuple[list, jax.Array, jax.Array]:
    """The sum of each array, and the least and the greatest entry of some, in as few passes as there are shapes.

    Row by row, then over the rows: so sums are right to some 1e-5 for a million entries, and several cores have work.
    """
    out: list[Any] = [None] * (len(sums) + 2 * len(ranged))
    tasks = [(x, jax.lax.add, 0.0) for x in sums]
    tasks += [(x, jax.lax.min, np.inf) for x in ranged] + [(x, jax.lax.max, -np.inf) for x in ranged]
    for shape in dict.fromkeys(x.shape for x, _, _ in tasks):
        places = [k for k, (x, _, _) in enumerate(tasks) if x.shape == shape]
        arrays = tuple(_in_rows(tasks[k][0]) for k in places)
        starts = tuple(jnp.asarray(tasks[k][2], dtype) for k in places)

        def both(a: Any, b: Any, places: list = places) -> tuple:
            return tuple(tasks[k][1](x, y) for k, x, y in zip(places, a, b, strict=True))

        by_row = jax.lax.reduce(arrays, starts, both, tuple(range(1, arrays[0].ndim)))
        for k, x in zip(places, jax.lax.reduce(by_row, starts, both, (0,)), strict=True):
            out[k] = x
    n, m = len(sums), len(sums) + len(ranged)
    least = functools.reduce(jnp.minimum, out[n:m], jnp.asarray(np.inf, dtype))
    return out[:n], least, functools.reduce(jnp.maximum, out[m:], jnp.asarray(-np.inf, dtype))


def _in_rows(x: jax.Array) -> jax.Array:
    """The array with at least one axis; a long vector as rows, where they come out even."""
    if x.ndim != 1:
        return x if x.ndim else x.reshape(1)
    row = math.gcd(x.shape[0], 1024)
    return x.reshape(-1, row) if row >= 64 else x
