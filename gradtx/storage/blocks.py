"""Blocks: an array cut into chunks of neighbours that share a scale, and the scales."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from gradtx.placement import parts, split_spec


class Blocks(NamedTuple):
    """An array cut along one axis, into chunks with all axes behind it.

    shape: the shape of the array.
    axis: the axis that is cut.
    rows: the entries of a chunk along this axis. If they do not divide it, the last chunk is filled up with zeros.
    count: the number of chunks along the axis.
    """

    shape: tuple[int, ...]
    axis: int
    rows: int
    count: int

    @property
    def chunk(self) -> int:
        """The number of entries that share a scale."""
        return self.rows * math.prod(self.shape[self.axis + 1 :])

    @property
    def even(self) -> bool:
        """Whether all chunks have the same, even length."""
        return self.rows * self.count == self.shape[self.axis] and self.chunk % 2 == 0

    def viewed(self, x: jax.Array) -> jax.Array:
        """The array in shape (*leading axes, count, chunk), filled up with zeros."""
        more = self.rows * self.count - self.shape[self.axis]
        if more:
            x = jnp.pad(x, [(0, more if k == self.axis else 0) for k in range(len(self.shape))])
        shape, spec = (*self.shape[: self.axis], self.count, self.chunk), split_spec(x)
        mesh = None if spec is None else jax.typeof(x).sharding.mesh
        if spec is None or any(spec[self.axis + 1 :]) or (self.count > 1 and self.count % parts(mesh, spec[self.axis])):
            return x.reshape(shape)  # of what JAX cannot divide so, it says what it would have to know
        entry = (spec[self.axis], None) if self.count > 1 else (None, spec[self.axis])
        return _split_so(x, shape, (*spec[: self.axis], *entry))

    def whole(self, view: jax.Array) -> jax.Array:
        """The inverse of `viewed`."""
        length = self.rows * self.count
        shape, spec = (*self.shape[: self.axis], length, *self.shape[self.axis + 1 :]), split_spec(view)
        if spec is None or (self.count > 1 and spec[-1] is not None):
            x = view.reshape(shape)
        else:
            x = _split_so(view, shape, (*spec[: self.axis], spec[-2] or spec[-1]))
        return (
            jax.lax.slice_in_dim(x, 0, self.shape[self.axis], axis=self.axis) if length > self.shape[self.axis] else x
        )


def joined(x: jax.Array) -> jax.Array:
    """The array with its last two axes as one."""
    shape, spec = (*x.shape[:-2], x.shape[-2] * x.shape[-1]), split_spec(x)
    return x.reshape(shape) if spec is None else _split_so(x, shape, (*spec[:-2], spec[-1]))


def _split_so(x: jax.Array, shape: tuple[int, ...], entries: tuple) -> jax.Array:
    """The array in another shape, on an Explicit mesh; JAX asks how the result is split if an axis is cut or joined."""
    entries = (*entries, *[None] * (len(shape) - len(entries)))
    return jnp.reshape(x, shape, out_sharding=NamedSharding(jax.typeof(x).sharding.mesh, PartitionSpec(*entries)))


@functools.cache
def cut(shape: tuple[int, ...], block: int, packed: bool, scale_bytes: int) -> Blocks:
    """The cut into chunks of at most `block` numbers that takes the fewest bytes; `packed`: a byte holds two codes."""
    best: tuple[float, Blocks] | None = None
    for axis in reversed(range(len(shape))):
        behind, length = math.prod(shape[axis + 1 :]), shape[axis]
        if behind > block:
            break
        for rows in range(1, min(length, block // behind) + 1):
            count = -(-length // rows)
            codes = -(-length * behind // 2) if packed else length * behind
            # An even cut, and one that XLA reduces with vector instructions, are worth a little.
            slow = 0.002 * (length % rows > 0) + 0.002 * (_lane(rows * behind) < 8)
            cost = math.prod(shape[:axis]) * (codes + count * scale_bytes) * (1 + slow)
            if best is None or cost < best[0]:
                best = cost, Blocks(shape, axis, rows, count)
    assert best is not None  # a chunk of one number always fits
    return best[1]


def scales_of(view: jax.Array, least: float) -> jax.Array:
    """The largest magnitude in each chunk of (..., chunk): the upper half of its bits, rounded up; unsigned integers.

    0 where all entries are 0. Else at least `least` times the smallest normal number, and at most a quarter of the
    largest number. NaN where an entry is not finite.
    """
    # As integers: XLA on CPU reduces them in place, and copies floats. In two steps. The first uses vector
    # instructions; the operations between them keep XLA from merging the two.
    info, half = jnp.finfo(view.dtype), 4 * view.dtype.itemsize
    word, kept = (jnp.int64, jnp.uint32) if half == 32 else (jnp.int32, jnp.uint16)
    lane = _lane(view.shape[-1])
    bits = jax.lax.bitcast_convert_type(jnp.abs(view), word).reshape(*view.shape[:-1], view.shape[-1] // lane, lane)
    bits = jax.lax.reduce(bits, jnp.zeros((), word), jax.lax.max, (bits.ndim - 2,))
    up = word(2**half - 1)
    # At most a quarter of the range: the reciprocal of a larger scale is subnormal, and XLA takes it for 0.
    infinite, most = _upper(jnp.inf, view.dtype, word), _upper(float(info.max) / 4, view.dtype, word) >> word(half)
    nan = word(2 ** (half - 1) - 1)
    rounded = jnp.where(bits < infinite, jnp.minimum((jnp.minimum(bits, infinite) + up) >> word(half), most), nan)
    upper = jax.lax.reduce(rounded, jnp.zeros((), word), jax.lax.max, (rounded.ndim - 1,))
    smallest = _upper(float(info.tiny) * least, view.dtype, word) >> word(half)
    return jnp.where(upper == 0, upper, jnp.maximum(upper, smallest)).astype(kept)


def _upper(x: float, dtype: Any, word: Any) -> jax.Array:
    return jax.lax.bitcast_convert_type(jnp.asarray(x, dtype), word)


def widened(scales: jax.Array) -> jax.Array:
    """The scales as floats: float32, or float64 for scales of 32 bits."""
    half = 8 * scales.dtype.itemsize
    word, width = (jnp.uint64, jnp.float64) if half == 32 else (jnp.uint32, jnp.float32)
    return jax.lax.bitcast_convert_type(scales.astype(word) << word(half), width)


def _lane(chunk: int) -> int:
    """The largest divisor up to 16."""
    return next(k for k in range(min(16, chunk), 0, -1) if chunk % k == 0)
