"""The second moment of a matrix as a product of a column and a row."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax

from gradtx.core.numerics import quotient, safe_sqrt
from gradtx.core.states import NonNegative
from gradtx.errors import non_negative, whole
from gradtx.moments.axes import mean, require_axes, whole_numbers, with_length
from gradtx.moments.moment import Kept, Moment, Step
from gradtx.shown import ShownAsCall


class FactoredMoment(NamedTuple):
    """The field of a state: three trees like the parameters; a leaf is in the first two or in the third.

    row, column: means of squares along the second and along the first of the two axes, which then have length 1.
    full: those of every entry, where a leaf is not factored.
    """

    row: NonNegative
    column: NonNegative
    full: NonNegative


@dataclasses.dataclass(frozen=True, repr=False)
class Factored(ShownAsCall, Moment):
    """See `factored`."""

    maker = "moments.factored"

    least: ClassVar[int] = 3

    eps: float
    axes: tuple[int, int] | None
    min_dim_size: int

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, ...]:
        """Those of the means along each of the two axes; else that of the leaf."""
        pair = self._pair(shape)
        if pair is None:
            return None, None, shape
        return with_length(shape, pair[1], 1), with_length(shape, pair[0], 1), None

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """The means along the two axes, and their product over the mean of all."""
        row, column, full = kept
        g_sq, pair = g_sq + self.eps, self._pair(g_sq.shape)
        if pair is None:
            full = step(full, g_sq)
            return (row, column, full), full
        row, column = step(row, mean(g_sq, (pair[1],))), step(column, mean(g_sq, (pair[0],)))
        # Each is divided by the root of the mean of all: their product may overflow, and so may the inverse of a mean.
        root = safe_sqrt(mean(row, (pair[0],)))
        return (row, column, full), quotient(row, root) * quotient(column, root)

    def together(self, trees: tuple) -> FactoredMoment:
        """Three trees by name."""
        return FactoredMoment(*trees)

    def apart(self, field: Any) -> tuple:
        """The three trees."""
        return tuple(field)

    def _pair(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """The two axes, in their order; None for a leaf that is not factored."""
        if len(shape) < 2:
            return None
        if self.axes is not None:
            require_axes(self.axes, shape)
            pair = sorted(axis % len(shape) for axis in self.axes)
        else:
            pair = sorted(sorted(range(len(shape)), key=lambda k: (shape[k], k))[-2:])
        return (pair[0], pair[1]) if min(shape[k] for k in pair) >= self.min_dim_size else None


def factored(eps: float = 1e-30, *, axes: tuple[int, int] | None = None, min_dim_size: int = 2) -> Moment:
    """The second moment of a matrix as the product of the means of its rows and of its columns: m + n numbers for m×n.

        r, c: the means of |g|² + eps along the second and along the first axis
        v = r·c/mean(r)

    Exact if |g|² is such a product. A leaf of fewer than two axes, or with short ones, has a moment of every entry.

    Args:
        eps: added to the squares; at least 0.
        axes: the two axes, for instance (-2, -1); None for the two longest, the last ones of several that are as long.
        min_dim_size: a leaf is factored if both axes have this length; at least 1.

    Raises: TypeError, ValueError: an argument is no such number. In `init`, ValueError: a leaf of two axes or more does
        not have these axes.
    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithm 4. optax: the two longest axes, min_dim_size 128. torch
        and Keras: always the last two.

    Example:
        >>> from gradtx import moments
        >>> moments.factored(axes=(-2, -1))
        moments.factored(eps=1e-30, axes=(-2, -1), min_dim_size=2)
    """
    non_negative(eps=eps)
    whole(1, min_dim_size=min_dim_size)
    if axes is not None and len(whole_numbers(axes)) != 2:
        raise ValueError(f"axes must be two axes; got {axes}")
    return Factored(float(eps), axes, min_dim_size)
