"""A second moment that is at least that of every entry, from one number for each index of each axis."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.moments.moment import Kept, Moment, Step
from gradtx.shown import ShownAsCall


@dataclasses.dataclass(frozen=True, repr=False)
class MaxOfAxes(ShownAsCall, Moment):
    """See `max_of_axes`."""

    maker = "moments.max_of_axes"

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """For each axis one that has its length along it, and 1 along all others."""
        return tuple(tuple(n if k == axis else 1 for k, n in enumerate(shape)) for axis in range(len(shape))) or ((),)

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """The least of what the axes allow, one step on; then the largest of that for each index of each axis."""
        own = [x for x in kept if x is not None][: max(g_sq.ndim, 1)]
        v = step(functools.reduce(jnp.minimum, own), g_sq)
        others = [tuple(k for k in range(g_sq.ndim) if k != axis) for axis in range(len(own))]
        new = [jnp.max(v, axes, keepdims=True, initial=0.0) if axes else v for axes in others]
        return (*new, *kept[len(own) :]), v

    def together(self, trees: tuple) -> tuple:
        """All of them."""
        return trees

    def apart(self, field: Any) -> tuple:
        """Each of them."""
        return tuple(field)


def max_of_axes() -> Moment:
    """A bound of the second moment from one number for each index of each axis: m + n numbers for a matrix of m×n.

        v_ij = min(r_i, c_j), one step on with |g_ij|²
        r_i = max_j v_ij,   c_j = max_i v_ij

    v is at least the second moment of the entry. It is meant for sums of squares, as in Adagrad.

    Source: SM3-II, Anil et al. 2019 (arXiv:1901.11150), algorithm 2, with the rows and columns of a tensor as cover.

    Example:
        >>> from gradtx import moments
        >>> moments.max_of_axes()
        moments.max_of_axes()
    """
    return MaxOfAxes()
