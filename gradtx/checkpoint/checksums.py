"""Checksums of arrays. They do not depend on how an array is distributed over devices.

    checksum = Σ_i word_i · w_0[i_0] · w_1[i_1] · …   mod 2³²

Every weight w is odd, so a change of one word always changes the checksum. Other changes do with probability 1 - 2⁻³².
They are needed because Orbax (0.12) reads numbers that were damaged on disk without an error.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

_BLOCK = 1 << 16


def checksum(array: Any) -> int:
    """This process's part of the sum: that of the shards on its devices, each counted on one device only."""
    if not isinstance(array, jax.Array):
        return _sum(np.asarray(array), ()) if jax.process_index() == 0 else 0
    shards = [shard for shard in array.addressable_shards if shard.replica_id == 0]
    if array.is_fully_addressable and jax.process_count() > 1 and jax.process_index() > 0:
        return 0  # every process has its own copy of the whole array
    parts = [_sum(np.asarray(shard.data), tuple(s.start or 0 for s in shard.index)) for shard in shards]
    return sum(parts) % (1 << 32)


def checksums(arrays: dict[str, Any]) -> dict[str, int]:
    """The checksum of each array. The result is the same on every process, and all of them must call this."""
    parts = np.array([checksum(array) for array in arrays.values()], np.uint32)
    if jax.process_count() > 1 and arrays:
        from jax.experimental.multihost_utils import process_allgather

        parts = np.asarray(process_allgather(parts)).sum(axis=0, dtype=np.uint32)
    return {name: int(part) for name, part in zip(arrays, parts, strict=True)}


def _sum(part: np.ndarray, start: tuple[int, ...]) -> int:
    """The sum over a part of an array that begins at the index `start` of the whole."""
    part = np.ascontiguousarray(part).reshape(part.shape)
    size = min(part.dtype.itemsize, 4)
    parts = part[..., None].view(f"uint{8 * size}")  # an element of more than 32 bits is several words
    places, total = (*start, *[0] * (part.ndim - len(start))), 0
    for k in range(parts.shape[-1]):
        words, axes = parts[..., k], list(range(part.ndim))
        while axes:  # the longest axis first: summing over an axis of length 1 would be a loop over all entries
            at = max(range(words.ndim), key=lambda j: words.shape[j])
            axis = axes.pop(at)
            words = _contracted(np.moveaxis(words, at, -1), axis, places[axis])
        total += int(words) * int(_mixed(np.uint64(k), 128))
    return total % (1 << 32)


def _contracted(words: np.ndarray, axis: int, start: int) -> np.ndarray:
    """The weighted sum over the last axis. A weight is the block's weight times that of the position in the block."""
    total, low, count = np.zeros(words.shape[:-1], np.uint32), 0, words.shape[-1]
    while low < count:
        block, offset = divmod(start + low, _BLOCK)
        part = words[..., low : low + _BLOCK - offset]
        weights = _weights(axis)[offset : offset + part.shape[-1]]
        with np.errstate(over="ignore"):
            total += np.einsum("...i,i->...", part, weights, dtype=np.uint32) * _mixed(np.uint64(block), axis + 64)
        low += part.shape[-1]
    return total


@functools.cache
def _weights(axis: int) -> np.ndarray:
    return _mixed(np.arange(_BLOCK, dtype=np.uint64), axis)


def _mixed(places: Any, axis: int) -> Any:
    """Odd pseudo-random numbers for positions along an axis (the finalizer of MurmurHash3)."""
    with np.errstate(over="ignore"):
        x = places + np.uint64((axis + 1) * 0x9E3779B97F4A7C15 % (1 << 64))
        x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        return ((x ^ (x >> np.uint64(33))) | np.uint64(1)).astype(np.uint32)
