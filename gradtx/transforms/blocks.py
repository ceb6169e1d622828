"""Stacks of matrices, cut into blocks of one shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradtx.transforms.stacks import split_shape


def sides_of_blocks(shape: tuple[int, ...], longest: int) -> tuple[tuple[int, ...], int, int]:
    """Of a leaf of matrices: the axes in front of its blocks, and their sides.

    A side that is longer than `longest` is cut into the fewest blocks of one length.
    """
    front, m, n = split_shape(shape)
    (down, height), (across, width) = _cut(m, longest), _cut(n, longest)
    return (front if down * across == 1 else (*front, down, across)), height, width


def split(x: jax.Array, longest: int) -> jax.Array:
    """(K, m, n) -> its blocks, (K·down·across, height, width), with zeros where the last ones end."""
    k, m, n = x.shape
    (down, height), (across, width) = _cut(m, longest), _cut(n, longest)
    x = jnp.pad(x, ((0, 0), (0, down * height - m), (0, across * width - n)))
    return x.reshape(k, down, height, across, width).swapaxes(2, 3).reshape(-1, height, width)


def joined(x: jax.Array, shape: tuple[int, ...], longest: int) -> jax.Array:
    """The stack of this shape (K, m, n) again."""
    k, m, n = shape
    (down, height), (across, width) = _cut(m, longest), _cut(n, longest)
    x = x.reshape(k, down, across, height, width).swapaxes(2, 3)
    return x.reshape(k, down * height, across * width)[:, :m, :n]


def _cut(side: int, longest: int) -> tuple[int, int]:
    """The number of blocks along a side, and their length."""
    count = max(1, -(-side // longest))
    return count, -(-side // count)
