"""Checks of the indices and values of a RowSparse."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

INDEX_MAX = 2**31 - 1


def require_intact(what: str, g: Any) -> None:
    """Raise TypeError if the arrays in g do not fit each other, for example after `jax.tree.map`."""
    shape, indices = getattr(g.values, "shape", (None,)), g.indices
    if indices is not None and not (getattr(indices, "dtype", None) == jnp.int32 and indices.shape == shape[:1]):
        got = f"{indices.dtype} of shape {indices.shape}" if hasattr(indices, "dtype") else repr(indices)
        raise TypeError(
            f"{what} is a RowSparse whose indices are {got}, for values of shape {shape}: "
            f"jax.tree.map changes the indices too; change its values with gradtx.map_leaves(fn, grads)"
        )
    if shape[1:] != g.shape[1:]:
        raise TypeError(f"{what} is a RowSparse of shape {g.shape} whose values have shape {shape}")


def as_array(what: str, x: Any) -> jax.Array:
    """The indices or the values as an array; TypeError if that is impossible."""
    try:
        return x if isinstance(x, jax.Array) else jnp.asarray(x)
    except TypeError:
        raise TypeError(f"the {what} of a RowSparse must be an array; got {x!r}") from None


def require_rows(indices: np.ndarray, n: int, rising: bool) -> None:
    """Raise ValueError if an index is out of range, or if `rising` indices do not increase."""
    outside = indices[(indices < 0) | ((indices >= n) & (not rising))]
    if outside.size:
        raise ValueError(f"the indices of a RowSparse with {n} rows must be from 0 to {n - 1}; got {outside[0]}")
    if rising and not np.all(indices[1:] > indices[:-1]):
        raise ValueError("distinct=True promises indices that increase, without repeats; leave it out to sort them")


def as_int32(indices: jax.Array, n: int, rising: bool) -> jax.Array:
    """The indices as int32; a larger 64-bit index becomes -1, not the index of another row."""
    if indices.dtype.itemsize == 8 and not rising:
        indices = jnp.where((indices >= 0) & (indices < n), indices, -1)
    return indices.astype(jnp.int32)


def nan_without(known: jax.Array, rows: jax.Array) -> jax.Array:
    """The rows; NaN for those that are not known."""
    known = known.reshape(*known.shape, *[1] * (rows.ndim - known.ndim))
    return jnp.where(known, rows, jnp.asarray(jnp.nan, rows.dtype))


def same_rows(g: Any, other: Any) -> jax.Array:
    """The values of another RowSparse, made from the same gradient as g, at the rows of g.

    Raises: TypeError: it has other rows; under a trace, where that may not be known, its values become NaN.
    """
    if other.indices is g.indices:
        return other.values
    fits = g.distinct and other.distinct and jnp.shape(other.indices) == jnp.shape(g.indices)
    same = jnp.array_equal(g.indices, other.indices) if fits else False
    if not isinstance(same, Tracer) and not same:
        raise TypeError("two RowSparse gradients cannot meet in one leaf function: pass .dense() of the second")
    return jnp.where(same, other.values, jnp.asarray(jnp.nan, other.values.dtype))
