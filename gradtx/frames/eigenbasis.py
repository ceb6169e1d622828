"""The frame of eigenvectors: matrices seen from the axes along which their gradients vary."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.errors import in_unit_interval, one_of, whole
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import ema
from gradtx.frames.carry import along_columns, along_rows
from gradtx.frames.frame import Frame, Leaf
from gradtx.shown import ShownAsCall
from gradtx.transforms.products import adjoint, product

_SIDES = ("both", "smaller", "rows", "columns")


class EigenbasisState(NamedTuple):
    """The basis of one matrix, or of several; None for a side that keeps its coordinates.

    rows, columns: running means of g·gᴴ and gᴴ·g, m × m and n × n, float32 or wider; 0 at init.
    left, right: the orthogonal matrices Q of their eigenvectors; the identity at init.
    """

    rows: Any
    columns: Any
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True, repr=False)
class Eigenbasis(ShownAsCall, Frame):
    """See `eigenbasis`."""

    maker = "frames.eigenbasis"

    decay: float
    every: int
    sides: str
    max_dim: int

    @property
    def period(self) -> int:
        """Steps between two bases."""
        return self.every

    def takes(self, leaf: Leaf) -> bool:
        """Leaves with two axes or more, one of which gets a basis."""
        return len(leaf.shape) >= 2 and any(self._turned(leaf.shape))

    def init(self, leaf: Leaf, salt: np.ndarray) -> EigenbasisState:
        """No gradient seen, and the coordinates that the leaf has."""
        dtype = at_width(leaf.dtype, float_dtype(leaf))

        def side(n: int) -> tuple[jax.Array, jax.Array]:
            shape = (*leaf.shape[:-2], n, n)
            return jnp.zeros(shape, dtype), jnp.broadcast_to(jnp.eye(n, dtype=dtype), shape)

        left, right = self._turned(leaf.shape)
        rows, q_left = side(leaf.shape[-2]) if left else (None, None)
        columns, q_right = side(leaf.shape[-1]) if right else (None, None)
        return EigenbasisState(rows, columns, q_left, q_right)

    def begin(self, basis: EigenbasisState, x: jax.Array) -> jax.Array:
        """The parameter: the first Q is the identity."""
        return x

    def learn(self, basis: EigenbasisState, g: jax.Array) -> EigenbasisState:
        """Both running means with g, of which entries are clipped where a product would overflow."""
        g = g.astype((basis.columns if basis.rows is None else basis.rows).dtype)
        limit = math.sqrt(float(jnp.finfo(g.dtype).max) / max(g.shape[-2:])) / 2
        size = jnp.abs(g)
        g = jnp.where(size > limit, g * (limit / jnp.where(size > limit, size, jnp.ones_like(size))).astype(g.dtype), g)
        across = jnp.conj(jnp.swapaxes(g, -1, -2))
        return basis._replace(
            rows=None if basis.rows is None else ema(basis.rows, product(g, across), self.decay),
            columns=None if basis.columns is None else ema(basis.columns, product(across, g), self.decay),
        )

    def refresh(self, basis: EigenbasisState, g: jax.Array, first: jax.Array) -> EigenbasisState:
        """The eigenvectors at first; later one step of orthogonal iteration from the old ones."""
        return basis._replace(
            left=None if basis.left is None else _eigenvectors(basis.rows, basis.left, first),
            right=None if basis.right is None else _eigenvectors(basis.columns, basis.right, first),
        )

    def into(self, basis: EigenbasisState, x: jax.Array) -> jax.Array:
        """Q_Lᴴ·x·Q_R."""
        x = x.astype(at_width(x.dtype, float_dtype(x)))
        x = x if basis.left is None else product(adjoint(basis.left).astype(x.dtype), x)
        return x if basis.right is None else product(x, basis.right.astype(x.dtype))

    def out(self, basis: EigenbasisState, y: jax.Array, leaf: Leaf) -> jax.Array:
        """Q_L·y·Q_Rᴴ."""
        y = y if basis.left is None else product(basis.left.astype(y.dtype), y)
        return y if basis.right is None else product(y, adjoint(basis.right).astype(y.dtype))

    def carry(self, role: str, y: jax.Array, old: EigenbasisState, new: EigenbasisState, leaf: Leaf) -> jax.Array:
        """The field along the new eigenvectors."""
        y = y if old.left is None else along_rows(product(adjoint(old.left), new.left), role, y)
        return y if old.right is None else along_columns(product(adjoint(old.right), new.right), role, y)

    def _turned(self, shape: tuple[int, ...]) -> tuple[bool, bool]:
        """Whether the rows, and whether the columns, get a basis."""
        m, n = shape[-2:]
        left, right = {
            "both": (True, True),
            "smaller": (m <= n, n < m),
            "rows": (True, False),
            "columns": (False, True),
        }[self.sides]
        return left and 0 < m <= self.max_dim, right and 0 < n <= self.max_dim


def eigenbasis(decay: float = 0.95, every: int = 10, sides: str = "both", max_dim: int = 10_000) -> Frame:
    """Matrices in the eigenvectors of the running means of g·gᴴ and gᴴ·g: SOAP's coordinates, around anything.

        L = decay·L + (1 - decay)·g·gᴴ       Q_L = eigenvectors of L
        R = decay·R + (1 - decay)·gᴴ·g       Q_R = eigenvectors of R
        y = Q_Lᴴ·g·Q_R                       u = Q_L·v·Q_Rᴴ

    The means are updated in every step, before the basis. The first basis is that of the first gradient. Later ones are
    one step of orthogonal iteration from the one before: Q = qr(L·Q), with the columns in falling order of the diagonal
    of QᴴLQ. Where all gradients have been zero, the coordinates are those that the leaf has. In derivatives, Q counts
    as a constant.

    With both sides, the first gradient is diagonal in its own basis: its other entries are rounding, to which Adam
    gives steps of full length and of either sign, in this one step.

    Vectors and scalars pass as they are. Of more than two axes, the last two make the matrices, and each has its own
    bases: see `matrices` for others.

    Args:
        decay: the weight of the past in L and R; in [0, 1].
        every: steps between two bases; a whole number, at least 1.
        sides: which sides get a basis: "both", "rows" (L), "columns" (R), or "smaller", the shorter one.
        max_dim: a side that is longer than this keeps its coordinates; a whole number, at least 1.

    Raises: TypeError, ValueError: an argument is something else.
    Source: Vyas et al. 2024 (arXiv:2409.11321), algorithm 3. The authors' code makes no update in the first step, and
        learns after each step instead of before.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.eigenbasis())
        >>> g = jnp.asarray([[3.0, 1.0], [1.0, 3.0]])
        >>> print(abs(tx.update(g, tx.init(g))[0]).round(3))  # the polar factor of the first gradient
        [[1. 0.]
         [0. 1.]]
    """
    in_unit_interval(**{"eigenbasis: decay": decay})
    whole(1, **{"eigenbasis: every": every, "eigenbasis: max_dim": max_dim})
    one_of(_SIDES, **{"eigenbasis: sides": sides})
    return Eigenbasis(float(decay), every, sides, max_dim)


def _eigenvectors(mean: jax.Array, old: jax.Array, first: jax.Array) -> jax.Array:
    """The new Q of a running mean; the old one where the mean is zero."""
    mean, old = jax.lax.stop_gradient((mean, old))
    size = jnp.max(jnp.abs(mean), axis=(-2, -1), keepdims=True)
    unit = mean / jnp.where(size == 0, jnp.ones_like(size), size).astype(mean.dtype)

    def begun() -> jax.Array:
        return jnp.linalg.eigh(unit)[1][..., ::-1]

    def gone_on() -> jax.Array:
        turned = product(unit, old)
        along = jnp.sum(old.conj() * turned, axis=-2).real
        order = jnp.argsort(-along, axis=-1)
        return jnp.linalg.qr(jnp.take_along_axis(turned, order[..., None, :], axis=-1))[0]

    new = jax.lax.cond(first, begun, gone_on)
    return jnp.where(size == 0, old, new)
