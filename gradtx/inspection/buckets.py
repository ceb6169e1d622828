"""Leaves measured many at a time, those of about one size stacked: so a wide tree compiles as fast as a narrow one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import is_trained, shape_of
from gradtx.inspection.measure import cosine, unit
from gradtx.sparse.rows import RowSparse

SMALL = 2**14
"""Leaves of up to so many numbers are stacked with others of about their size; larger ones with those of their shape.

A large one keeps its shape, so that one which is split over devices is measured where it lies.
"""

SAMPLE = 2**14
"""A median is that of at most so many entries of a leaf, evenly spaced."""


class Group(NamedTuple):
    """Leaves that were measured together: their places, and name -> a number for each, (k,)."""

    places: tuple[int, ...]
    numbers: dict[str, Any]


def by_place(groups: Sequence[Group]) -> dict[int, dict[str, Any]]:
    """Place -> name -> number."""
    return {
        k: {name: values[i] for name, values in group.numbers.items()}
        for group in groups
        for i, k in enumerate(group.places)
    }


class Buckets:
    """Numbers of leaves by their places, from functions of stacked ones; to be used under one trace.

    A leaf is given as real numbers, float32 or as wide as the widest; a complex one as twice as many, a RowSparse as
    the dense array that it stands for.
    """

    def __init__(self, width: Any):
        self.width = width
        self._stacked: dict[tuple, tuple[jax.Array, jax.Array | None]] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def each(self, fn: Callable[..., dict[str, Any]], *columns: Sequence[Any]) -> list[Group]:
        """`fn(*arrays, valid)` of the leaves in these columns, for the places that are trained in all of them.

        Args:
            fn: a function of arrays (k, ...) of k leaves, and a mask of the entries that are theirs, or None for all;
                it returns arrays (k,) by name.
            columns: lists of leaves, aligned.

        Returns: a group for each call. `by_place` takes them apart on the host: a program that has an output for each
            number of each leaf compiles slowly.
        """
        groups: dict[tuple, list[int]] = {}
        for k, row in enumerate(zip(*columns, strict=True)):
            if all(map(is_trained, row)) and math.prod(shape_of(row[0])):
                groups.setdefault(_kind(row), []).append(k)
        out: list[Group] = []
        for kind, places in groups.items():
            stacks = [self._stack(kind, [column[k] for k in places]) for column in columns]
            out.append(Group(tuple(places), fn(*(x for x, _ in stacks), stacks[0][1])))
        return out

    def _stack(self, kind: tuple, leaves: list[Any]) -> tuple[jax.Array, jax.Array | None]:
        key = (kind, *map(id, leaves))
        if key not in self._stacked:
            self._kept.extend(leaves)
            parts = [self._real(x, kind[-1]) for x in leaves]
            valid = None
            if kind[0] == "small":
                length = kind[1]
                sizes = np.asarray([x.size for x in parts])
                valid = jnp.asarray(np.arange(length) < sizes[:, None]) if (sizes < length).any() else None
                parts = [jnp.pad(x.ravel(), (0, length - x.size)) for x in parts]
            # Made once: fused into each reduction, a concatenation is a chain of conditions for every entry.
            self._stacked[key] = (jax.lax.optimization_barrier(jnp.stack(parts)), valid)
        return self._stacked[key]

    def _real(self, x: Any, as_complex: bool) -> jax.Array:
        x = x.dense() if isinstance(x, RowSparse) else jnp.asarray(x)
        if as_complex:
            x = jnp.stack([x.real, x.imag if jnp.iscomplexobj(x) else jnp.zeros_like(x)])
        return x.astype(self.width)


def _kind(row: Sequence[Any]) -> tuple:
    """What leaves have in common that are stacked: the power of four that they are padded to, or their shape."""
    shape, as_complex = shape_of(row[0]), any(jnp.issubdtype(jnp.result_type(x), np.complexfloating) for x in row)
    size = math.prod(shape) * (1 + as_complex)
    if size <= SMALL:
        return ("small", 4 ** math.ceil(math.log(max(size, 16), 4) - 1e-9), as_complex)
    return ("large", shape, as_complex)


def _within(x: jax.Array, valid: jax.Array | None, otherwise: Any) -> jax.Array:
    return x if valid is None else jnp.where(valid, x, jnp.asarray(otherwise, x.dtype))


def _sums(*xs: jax.Array) -> list[jax.Array]:
    """The sum of each leaf, of several arrays of one shape in one pass: a loop for each would be compiled each."""
    starts = tuple(jnp.zeros((), x.dtype) for x in xs)

    def both(a: tuple, b: tuple) -> tuple:
        return tuple(map(jax.lax.add, a, b))

    return list(jax.lax.reduce(xs, starts, both, range(1, xs[0].ndim)))


def counts(valid: jax.Array | None, *conditions: jax.Array) -> list[jax.Array]:
    """How many entries of each leaf fulfil each of some conditions."""
    return _sums(*(_within(x, valid, False).astype(jnp.int32) for x in conditions))


def ends(x: jax.Array, valid: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """The least and the largest entry of each leaf, NaN left out; infinity and minus infinity where there is none."""
    low, high = (_within(jnp.where(jnp.isnan(x), end, x), valid, end) for end in (jnp.inf, -jnp.inf))
    axes = tuple(range(1, x.ndim))
    return jnp.min(low, axes), jnp.max(high, axes)


def median(x: jax.Array, valid: jax.Array | None) -> jax.Array:
    """The median of each leaf, NaN left out, of a sample where it is large; NaN where there is none."""
    flat = _within(x, valid, jnp.nan).reshape(x.shape[0], -1)
    ordered = jnp.sort(flat[:, :: max(1, -(-flat.shape[1] // SAMPLE))], axis=1)  # NaN comes last
    n = jnp.sum(~jnp.isnan(ordered), axis=1, keepdims=True)
    middle = [jnp.take_along_axis(ordered, place, axis=1)[:, 0] for place in (jnp.maximum(n - 1, 0) // 2, n // 2)]
    at_end = n[:, 0] // 2 >= ordered.shape[1]
    return jnp.where(at_end, middle[0], (middle[0] + middle[1]) / 2)


def scaled(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each leaf times a power of two, so that squares neither overflow nor vanish; and that power."""
    factor = unit(jnp.max(jnp.abs(x), tuple(range(1, x.ndim))))
    return x * factor.reshape(-1, *[1] * (x.ndim - 1)), factor


def sizes(x: jax.Array, valid: jax.Array | None) -> dict[str, Any]:
    """Of each leaf: its norm, how many entries are zero, and how many are not finite."""
    y, factor = scaled(x)
    zeros = _within(x == 0, valid, False).astype(jnp.int32)
    square, zeros, nonfinite = _sums(y * y, zeros, (~jnp.isfinite(x)).astype(jnp.int32))
    return {"norm": jnp.sqrt(square) / factor, "zeros": zeros, "nonfinite": nonfinite}


def changes(before: jax.Array, after: jax.Array, valid: jax.Array | None) -> dict[str, Any]:
    """Of each pair of leaves: how many entries differ, the cosine between them, and `<before, after>/|before|²`."""
    (x, factor), (y, factor_after) = scaled(before), scaled(after)
    differ = (before != after) & ~(jnp.isnan(before) & jnp.isnan(after))
    dot, xx, yy, changed = _sums(x * y, x * x, y * y, differ.astype(jnp.int32))
    both = (xx > 0) & (yy > 0)
    return {
        "changed": changed,
        "cosine": cosine(dot, xx, yy, jnp.nan),
        "factor": jnp.where(both, dot / jnp.where(both, xx, 1) * (factor / factor_after), jnp.nan),
    }
