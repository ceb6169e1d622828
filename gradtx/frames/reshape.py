"""Frames that arrange the numbers of a leaf in another shape: as matrices, and as real and imaginary parts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from gradtx.errors import describe, whole
from gradtx.frames.frame import Frame, Leaf
from gradtx.shown import ShownAsCall

Axes = int | tuple[int, ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Matrices(ShownAsCall, Frame):
    """See `matrices`."""

    maker = "frames.matrices"

    rows: Axes | None
    columns: Axes | None
    blocks: tuple[int | None, int | None] | None

    def takes(self, leaf: Leaf) -> bool:
        """Every leaf with two axes or more.

        Raises: ValueError: it lacks an axis, an axis is named twice, or a side is not a multiple of its blocks.
        """
        if len(leaf.shape) < 2:
            return False
        self._sides(leaf.shape)
        return True

    def into(self, basis: None, x: jax.Array) -> jax.Array:
        """The leaf as matrices, behind its other axes and the numbers of the blocks."""
        batch, rows, columns = self._axes(x.ndim)
        m, n, r, c = self._sides(x.shape)
        front = tuple(x.shape[axis] for axis in batch)
        y = x.transpose(batch + rows + columns)
        if (r, c) == (m, n):
            return y.reshape(*front, m, n)
        return jnp.swapaxes(y.reshape(*front, m // max(r, 1), r, n // max(c, 1), c), -3, -2)

    def out(self, basis: None, y: jax.Array, leaf: Leaf) -> jax.Array:
        """The leaf again."""
        batch, rows, columns = self._axes(len(leaf.shape))
        order = batch + rows + columns
        m, n, r, c = self._sides(leaf.shape)
        y = y if (r, c) == (m, n) else jnp.swapaxes(y, -3, -2)
        back = tuple(order.index(axis) for axis in range(len(order)))
        return y.reshape(tuple(leaf.shape[axis] for axis in order)).transpose(back)

    def _axes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The axes, counted from the front, that are in front of the matrices, in their rows, and in their columns."""
        rows, columns = (
            None if axes is None else _from_front(what, axes, rank)
            for what, axes in (("rows", self.rows), ("columns", self.columns))
        )
        rows = tuple(a for a in range(rank) if a not in (columns or ())) if rows is None else rows
        columns = tuple(a for a in range(rank) if a not in rows) if columns is None else columns
        named = rows + columns
        if len(set(named)) < len(named):
            raise ValueError(f"rows={self.rows!r} and columns={self.columns!r} name an axis twice there")
        if not (rows and columns):
            raise ValueError(f"rows={self.rows!r} and columns={self.columns!r} leave no axis there for one of them")
        return tuple(a for a in range(rank) if a not in named), rows, columns

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Rows and columns of the matrices, and of the blocks."""
        _, rows, columns = self._axes(len(shape))
        m, n = (math.prod(shape[a] for a in axes) for axes in (rows, columns))
        height, width = self.blocks or (None, None)
        return m, n, _block("rows", m, height), _block("columns", n, width)


@dataclasses.dataclass(frozen=True, repr=False)
class RealAndImaginary(ShownAsCall, Frame):
    """See `real_and_imaginary`."""

    maker = "frames.real_and_imaginary"
    needs_matrices: ClassVar[bool] = False

    def takes(self, leaf: Leaf) -> bool:
        """Complex leaves."""
        return jnp.issubdtype(leaf.dtype, jnp.complexfloating)

    def into(self, basis: None, x: jax.Array) -> jax.Array:
        """The two parts, along a new first axis."""
        return jnp.stack([x.real, x.imag])

    def out(self, basis: None, y: jax.Array, leaf: Leaf) -> jax.Array:
        """The complex leaf of the two parts."""
        return jax.lax.complex(y[0], y[1])


def matrices(
    rows: Axes | None = -2, columns: Axes | None = -1, blocks: tuple[int | None, int | None] | None = None
) -> Frame:
    """Each leaf as one matrix, or as several: a convolution, heads, a stack of layers, the blocks of a large matrix.

    Several axes together make the rows or the columns of a matrix; the other axes count the matrices, and come in
    front. Vectors and scalars pass as they are. The coordinates are the same numbers in another order, so only a
    transformation that looks at rows, columns or matrices does something else in them. Of several axes that make one
    side, the first may be split over devices; any other one would be gathered.

        convolutions h × w × in × out           matrices(rows=None)           one matrix hwin × out
        heads, in × heads × width               matrices(rows=0, columns=2)   a matrix in × width for each head
        queries, keys and values, in × 3·out    matrices(blocks=(None, out))  three matrices in × out
        blocks of at most 1024 × 1024           matrices(blocks=(1024, 1024))

    Args:
        rows, columns: an axis of the leaf, or several in a tuple, from the front or (negative) from the end. None: all
            axes that the other one does not name; one of the two may be None.
        blocks: rows and columns of the blocks into which each matrix is cut; None, for one of them or for both: it is
            not cut. A side that is shorter than its block stays whole.

    Raises:
        TypeError, ValueError: `rows`, `columns` or `blocks` is something else. At init, naming the leaf: it lacks an
            axis, or a side is longer than its block and no multiple of it.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.ema(0.9), gradtx.frames.matrices(rows=None))
        >>> jax.eval_shape(tx.init, jnp.zeros((3, 3, 8, 16))).inner.mu.shape
        (72, 16)
    """
    if rows is None and columns is None:
        raise ValueError("matrices: one of rows and columns must name axes; got None for both")
    if blocks is not None:
        if not (isinstance(blocks, tuple | list) and len(blocks) == 2):
            raise TypeError(f"matrices: blocks must be two sizes, (rows, columns); got {describe(blocks)}")
        whole(1, **{f"blocks[{k}]": size for k, size in enumerate(blocks) if size is not None})
        blocks = (blocks[0], blocks[1])
    return Matrices(_checked("rows", rows), _checked("columns", columns), blocks)


def real_and_imaginary() -> Frame:
    """Complex leaves as their real and imaginary parts, two real leaves along a new first axis. Real leaves pass.

    A transformation then divides each part by its own second moment; without it, Adam divides both by the root of their
    mean |g|². Norms of leaves are those of both parts together.

    Source: optax's `split_real_and_imaginary`, which makes two leaves of each: norms of leaves are those of one part.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.real_and_imaginary())
        >>> z = jnp.asarray([3 - 0.1j])
        >>> print(tx.update(z, tx.init(z))[0].round(4))
        [1.-1.j]
    """
    return RealAndImaginary()


def _checked(name: str, axes: Any) -> Axes | None:
    if axes is None:
        return None
    several = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    whole(**{f"matrices: {name}": axis for axis in several[:1]})
    whole(**{f"matrices: {name}[{k}]": axis for k, axis in enumerate(several)})
    if not several:
        raise ValueError(f"matrices: {name} must name an axis; got ()")
    return several if isinstance(axes, tuple | list) else axes


def _from_front(what: str, axes: Any, rank: int) -> tuple[int, ...]:
    several = axes if isinstance(axes, tuple) else (axes,)
    lacking = next((a for a in several if not -rank <= a < rank), None)
    if lacking is not None:
        raise ValueError(
            f"{what}={axes!r} name axis {lacking}, which it lacks: route such leaves to another transformation"
        )
    return tuple(a % rank for a in several)


def _block(what: str, side: int, size: int | None) -> int:
    if size is None or side <= size:
        return side
    if side % size:
        raise ValueError(f"its {side} {what} cannot be cut into blocks of {size}: the size must divide them")
    return size
