"""Second moments of every entry, of whole leaves, of rows, of columns, and of blocks."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gradtx.errors import whole
from gradtx.meshes import anywhere, spec_of
from gradtx.moments.axes import mean, require_axes, whole_numbers, with_length
from gradtx.moments.moment import Kept, Moment, Step
from gradtx.shown import ShownAsCall


@dataclasses.dataclass(frozen=True, repr=False)
class Full(ShownAsCall, Moment):
    """See `full`."""

    maker = "moments.full"

    entrywise: ClassVar[bool] = True

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """That of the leaf."""
        return (shape,)

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """Entry by entry."""
        nu = step(kept[0], g_sq)
        return (nu,), nu


@dataclasses.dataclass(frozen=True, repr=False)
class Per(Moment):
    """See `per_leaf`, `per_row`, `per`."""

    axes: tuple[int, ...]
    total: bool = False

    def __repr__(self) -> str:
        if not self.axes:
            return f"moments.per_leaf(total={self.total})"
        row = len(self.axes) == 1
        return f"moments.per_row(output_axis={self.axes[0]})" if row else f"moments.per(axes={self.axes})"

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Its own axes; length 1 along all others."""
        require_axes(self.axes, shape)
        own = {axis % len(shape) for axis in self.axes}
        return (tuple(n if k in own else 1 for k, n in enumerate(shape)),)

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """The mean, or the sum, of the squares along all other axes."""
        own = {axis % g_sq.ndim for axis in self.axes} if g_sq.ndim else set()
        others = tuple(k for k in range(g_sq.ndim) if k not in own)
        nu = step(kept[0], jnp.sum(g_sq, others, keepdims=True) if self.total else mean(g_sq, others))
        return (nu,), nu

    def room(self, shape: tuple[int, ...]) -> float:
        """At most 1/√n for a sum of n squares."""
        return 0.5 ** math.ceil(math.log2(max(math.prod(shape), 1)) / 2) if self.total else 1.0


@dataclasses.dataclass(frozen=True, repr=False)
class PerColumn(ShownAsCall, Moment):
    """See `per_column`."""

    maker = "moments.per_column"

    output_axis: int

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Length 1 along the axis of the outputs."""
        if len(shape) < 2:
            raise ValueError("it needs two axes or more")
        require_axes((self.output_axis,), shape)
        return (with_length(shape, self.output_axis, 1),)

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """The mean of the squares along the axis of the outputs."""
        nu = step(kept[0], mean(g_sq, (self.output_axis,) if g_sq.ndim else ()))
        return (nu,), nu


@dataclasses.dataclass(frozen=True, repr=False)
class Blocks(ShownAsCall, Moment):
    """See `blocks`."""

    maker = "moments.blocks"

    count: int
    axis: int

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """One number for each block."""
        require_axes((self.axis,), shape)
        if shape[self.axis] % self.count:
            raise ValueError(f"its axis {self.axis} cannot be divided into {self.count} equal blocks")
        return (with_length((1,) * len(shape), self.axis, self.count),)

    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """The mean of the squares of each block."""
        if not g_sq.ndim:
            return kept, kept[0]
        axis, n = self.axis % g_sq.ndim, g_sq.shape[self.axis]
        # On a mesh the numbers of the blocks are everywhere, and those of the entries are split as the entries are.
        free = (None,) * g_sq.ndim
        split = PartitionSpec(*free[:axis], (*spec_of(g_sq), *free)[axis], *free[axis + 1 :])
        nu = step(kept[0], anywhere(lambda g_sq: self._means(g_sq, axis), lambda: PartitionSpec(*free), g_sq))
        return (nu,), anywhere(lambda nu: _repeated(nu, n // self.count, axis), lambda: split, nu)

    def _means(self, g_sq: jax.Array, axis: int) -> jax.Array:
        shape = g_sq.shape
        split = g_sq.reshape(*shape[:axis], self.count, shape[axis] // self.count, *shape[axis + 1 :])
        return jnp.squeeze(mean(split, tuple(k for k in range(split.ndim) if k != axis)), axis + 1)


def _repeated(x: jax.Array, times: int, axis: int) -> jax.Array:
    """Each number along the axis several times, one after the other."""
    shape = x.shape
    several = jnp.broadcast_to(jnp.expand_dims(x, axis + 1), (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return several.reshape(with_length(shape, axis, shape[axis] * times))


ENTRYWISE = Full()


def full() -> Moment:
    """A second moment of every entry: that of Adam and RMSProp.

    Example:
        >>> from gradtx import moments
        >>> moments.full()
        moments.full()
    """
    return ENTRYWISE


def per_leaf(*, total: bool = False) -> Moment:
    """One second moment for each leaf: the mean of all its squares.

    Args:
        total: their sum, ‖g‖², in place of their mean. So that it does not overflow, entries above 1.8e19/√n (float32)
            count as that in a leaf of n entries.

    Source: NovoGrad, Ginsburg et al. 2019 (arXiv:1905.11286), has the sum.

    Example:
        >>> from gradtx import moments
        >>> moments.per_leaf()
        moments.per_leaf(total=False)
    """
    return Per((), total)


def per_row(output_axis: int = -1) -> Moment:
    """One second moment for each output of a layer: the mean over all other axes. A bias has one for every entry.

    The rows are those of the papers, outputs × inputs. Of a kernel (in, out) as in Flax it has the shape (1, out).

    Args:
        output_axis: the axis of the outputs. It is the last in kernels of shape (..., in, out), as in Flax and Keras,
            and 0 in those of torch, (out, in, ...).

    Raises: TypeError: output_axis is not a whole number. In `init`, ValueError: a leaf does not have this axis.
    Source: Adam-mini, Zhang et al. 2024 (arXiv:2406.16793), whose rows are those of torch's kernels.

    Example:
        >>> from gradtx import moments
        >>> moments.per_row()
        moments.per_row(output_axis=-1)
    """
    whole(output_axis=output_axis)
    return Per((output_axis,))


def per_column(output_axis: int = -1) -> Moment:
    """One second moment for each input of a layer: the mean over the axis of the outputs.

    Of a kernel (in, out) as in Flax it has the shape (in, 1).

    Args:
        output_axis: the axis of the outputs, as in `per_row`.

    Raises: TypeError: output_axis is not a whole number. In `init`, ValueError: a leaf does not have this axis, or no
        second one.

    Example:
        >>> from gradtx import moments
        >>> moments.per_column(output_axis=0)
        moments.per_column(output_axis=0)
    """
    whole(output_axis=output_axis)
    return PerColumn(output_axis)


def per(axes: tuple[int, ...]) -> Moment:
    """One second moment for each index of some axes: the mean over all others.

    Args:
        axes: for instance (0, 1) for a kernel of shape (layers, heads, in, size).

    Raises: TypeError: the axes are not a tuple of whole numbers. In `init`, ValueError: a leaf does not have one.

    Example:
        >>> from gradtx import moments
        >>> moments.per((0, 1))
        moments.per(axes=(0, 1))
    """
    return Per(whole_numbers(axes))


def blocks(count: int, axis: int = -1) -> Moment:
    """One second moment for each of some equal blocks of an axis: the mean over a block and all other axes.

    Args:
        count: the number of blocks, at least 1: the number of heads for a kernel of shape (in, heads·size).
        axis: the axis that is divided.

    Raises: TypeError: an argument is not a whole number. ValueError: count is below 1. In `init`, ValueError: a leaf
        does not have this axis, or it cannot be divided so.
    Source: Adam-mini, Zhang et al. 2024 (arXiv:2406.16793), for queries and keys.

    Example:
        >>> from gradtx import moments
        >>> moments.blocks(8)
        moments.blocks(count=8, axis=-1)
    """
    whole(1, count=count)
    whole(axis=axis)
    return Blocks(count, axis)
