"""A few entries of a leaf, evenly spaced along each of its axes: the same ones at every step."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.placement import split_spec
from gradtx.sparse.rows import RowSparse, distinct


def kept(shape: tuple[int, ...], most: int) -> tuple[int, ...]:
    """How many places along each axis are sampled: all where there are few, and at most `most` entries in all.

    A grid, not every k-th entry in order: where k divides the length of a row, those are all of one column.
    """
    counts, left = [0] * len(shape), most
    for done, axis in enumerate(sorted(range(len(shape)), key=lambda axis: shape[axis])):
        counts[axis] = min(shape[axis], max(_root(left, len(shape) - done), 1))
        left //= max(counts[axis], 1)
    return tuple(counts)


def sample(x: Any, most: int) -> jax.Array:
    """At most this many entries of a leaf, as a vector; of a RowSparse those of the dense array that it stands for."""
    counts = kept(x.shape, most)
    if math.prod(counts) == 0:
        return jnp.zeros((0,), x.dtype)
    steps = [max(length // count, 1) for length, count in zip(x.shape, counts, strict=True)]
    starts = [(step - 1) // 2 for step in steps]  # in the middle of equal parts
    if isinstance(x, RowSparse):
        return _of_rows(distinct(x), counts, starts, steps).reshape(-1)
    return _grid(jnp.asarray(x), counts, starts, steps).reshape(-1)


def whole(x: jax.Array) -> jax.Array:
    """The array whole on each device of an Explicit mesh, where leaves that are split differently cannot be joined."""
    if split_spec(x) is None:
        return x
    return jax.sharding.reshard(x, NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec()))


def _grid(x: jax.Array, counts: Any, starts: Any, steps: Any) -> jax.Array:
    spec = split_spec(x)
    if spec:  # JAX 0.10 cannot cut a split axis into a number of entries that the devices do not divide
        size = jax.typeof(x).sharding.mesh.size
        cut = [n % size for n, entry in zip(counts, spec, strict=True) if entry is not None]
        x = whole(x) if any(cut) else x
    ends = [start + (count - 1) * step + 1 for start, count, step in zip(starts, counts, steps, strict=True)]
    return whole(jax.lax.slice(x, starts, ends, steps))


def _of_rows(x: RowSparse, counts: Any, starts: Any, steps: Any) -> jax.Array:
    if x.indices is None:
        return _grid(x.values, counts, starts, steps)
    if not x.indices.shape[0]:
        return jnp.zeros(counts, x.dtype)
    inside = _grid(x.values, (x.values.shape[0], *counts[1:]), (0, *starts[1:]), (1, *steps[1:]))
    rows = jnp.asarray(np.arange(counts[0]) * steps[0] + starts[0], jnp.int32)
    place = jnp.minimum(jnp.searchsorted(x.indices, rows), x.indices.shape[0] - 1)
    there = (x.indices[place] == rows).reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(there, inside[place], jnp.zeros((), x.dtype))


def _root(n: int, k: int) -> int:
    """The whole part of the k-th root."""
    root = round(n ** (1 / k))
    return root if root**k <= n else root - 1
