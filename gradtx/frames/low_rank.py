"""The frame of a low rank: matrices seen from a few directions of their shorter side."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import quotient
from gradtx.errors import one_of, whole
from gradtx.frames.carry import along_columns, along_rows
from gradtx.frames.frame import Frame, Leaf
from gradtx.shown import ShownAsCall
from gradtx.transforms.decompositions import svd
from gradtx.transforms.products import adjoint, product

_BASES = ("svd", "random")
_KEYS = "threefry2x32"


@dataclasses.dataclass(frozen=True, repr=False)
class LowRank(ShownAsCall, Frame):
    """See `low_rank`."""

    maker = "frames.low_rank"

    rank: int
    every: int
    basis: str
    key: int

    @property
    def period(self) -> int:
        """Steps between two bases."""
        return self.every

    @property
    def carries(self) -> tuple[str, ...]:
        """A random basis says nothing of the coordinates in the next one."""
        return ("keep",) if self.basis == "random" else ("keep", "turn", "turn_signed")

    def takes(self, leaf: Leaf) -> bool:
        """Leaves with two axes or more whose shorter side is longer than the rank."""
        return len(leaf.shape) >= 2 and min(leaf.shape[-2:]) > self.rank

    def words(self, leaf: Leaf) -> str:
        """How many directions, or why all."""
        if len(leaf.shape) < 2:
            return "no low rank: no matrix"
        taken, short = self.takes(leaf), min(leaf.shape[-2:])
        return f"rank {self.rank} of {short}" if taken else f"no low rank: {self.rank} is not below {short}"

    def init(self, leaf: Leaf, salt: np.ndarray) -> jax.Array:
        """The first directions of the shorter side; of a random basis, the key."""
        if self.basis == "random":
            key = jax.random.key(self.key, impl=_KEYS)
            return jax.random.key_data(jax.random.fold_in(jax.random.fold_in(key, salt[0]), salt[1]))
        shape = self._basis_shape(leaf.shape)
        eye = jnp.eye(*shape[-2:], dtype=at_width(leaf.dtype, float_dtype(leaf)))
        return jnp.broadcast_to(eye, shape)

    def begin(self, basis: jax.Array, x: jax.Array) -> jax.Array:
        """The first rows or columns; random directions of the whole."""
        if self.basis == "random":
            return self.into(basis, x)
        return x[..., : self.rank, :] if _is_wide(x.shape) else x[..., : self.rank]

    def refresh(self, basis: jax.Array, g: jax.Array, first: jax.Array) -> jax.Array:
        """The leading singular vectors of g, turned towards those before; the old ones if g is 0 or not finite."""
        if self.basis == "random":
            return jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(basis, impl=_KEYS), 1))
        g = jax.lax.stop_gradient(g).astype(basis.dtype)
        size = jnp.max(jnp.abs(g), axis=(-2, -1), keepdims=True)  # squares of entries may overflow
        known = (size > 0) & jnp.isfinite(size)
        unit = g / jnp.where(known, size, jnp.ones_like(size)).astype(g.dtype)
        u, _, vh = svd(jnp.where(known, unit, jnp.zeros_like(unit)))
        new = (u if _is_wide(g.shape) else adjoint(vh))[..., : self.rank]
        overlap = jnp.sum(new.conj() * basis, axis=-2, keepdims=True)
        towards = quotient(overlap, jnp.abs(overlap).astype(basis.dtype))
        return jnp.where(known, new * jnp.where(towards == 0, jnp.ones_like(towards), towards), basis)

    def into(self, basis: jax.Array, x: jax.Array) -> jax.Array:
        """Pᴴ·x or x·P, with the matrix P of the directions."""
        x = x.astype(at_width(x.dtype, float_dtype(x)))
        p = self._directions(basis, x.shape, x.dtype)
        return product(adjoint(p), x) if _is_wide(x.shape) else product(x, p)

    def out(self, basis: jax.Array, y: jax.Array, leaf: Leaf) -> jax.Array:
        """P·y or y·Pᴴ."""
        p = self._directions(basis, leaf.shape, y.dtype)
        return product(p, y) if _is_wide(leaf.shape) else product(y, adjoint(p))

    def carry(self, role: str, y: jax.Array, old: jax.Array, new: jax.Array, leaf: Leaf) -> jax.Array:
        """What the old directions say of the coordinates along the new ones."""
        turn = product(adjoint(old), new)
        return (along_rows if _is_wide(leaf.shape) else along_columns)(turn, role, y)

    def _directions(self, basis: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
        if self.basis != "random":
            return basis.astype(dtype)
        normal = jax.random.normal(jax.random.wrap_key_data(basis, impl=_KEYS), self._basis_shape(shape), jnp.float32)
        return (normal * jnp.float32(self.rank**-0.5)).astype(dtype)

    def _basis_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-2], min(shape[-2:]), self.rank)


def low_rank(rank: int, every: int = 200, basis: str = "svd", key: int = 0) -> Frame:
    """Matrices seen from a few directions of their shorter side, so that the state inside is smaller.

        y = Pᴴ·g, r × n, for a wide g, m × n with m < n        u = P·v
        y = g·P,  m × r, for others                            u = v·Pᴴ

    With basis="svd", the columns of P are the first r left (or right) singular vectors of the gradient at steps 0,
    every, 2·every, ...; the parts of later gradients in other directions are left out. A singular vector has no sign:
    each gets the one with which it points towards the column of the old P, at first a column of the identity. Where the
    gradient is zero or not finite, P stays as it is. In derivatives, P counts as a constant.

    With basis="random", the entries of P are drawn from N(0, 1/r) at these steps, so that ‖y‖² is ‖g‖² in the mean. P
    is never stored: it is drawn again in each step from a key, two words in the state. It depends on the key and on
    the path of the leaf, not on its type.

    `in_frame` keeps the inner state as it is when P changes, as the papers do. With basis="svd" it can also turn it;
    what the new directions do not share with the old ones then has no past.

    Leaves with fewer than two axes, and those whose shorter side is not longer than r, pass as they are. Of more than
    two axes, the last two make the matrices, and each matrix has its own P: see `matrices` for others.

    Args:
        rank: r; a whole number, at least 1.
        every: steps between two bases; a whole number, at least 1.
        basis: "svd" or "random".
        key: of a random basis; an integer in [0, 2**32).

    Raises: TypeError, ValueError: an argument is something else.
    Source: Zhao et al. 2024 (arXiv:2403.03507), GaLore, equations 12 and 13; Zhu et al. 2024 (arXiv:2412.05270),
        APOLLO, section 4.1.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.low_rank(rank=16))
        >>> state = jax.eval_shape(tx.init, jnp.zeros((256, 1024)))
        >>> state.inner.nu.shape, state.basis.shape
        ((16, 1024), (256, 16))
    """
    whole(1, **{"low_rank: rank": rank, "low_rank: every": every})
    one_of(_BASES, **{"low_rank: basis": basis})
    whole(0, **{"low_rank: key": key})
    if key >= 2**32:
        raise ValueError(f"low_rank: key must be below 2**32; got {key}")
    return LowRank(rank, every, basis, key)


def _is_wide(shape: tuple[int, ...]) -> bool:
    return shape[-2] < shape[-1]
