"""The frame of singular vectors of the mean gradient: matrices seen from the axes of their momentum."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import ema, increment
from gradtx.errors import fixed, in_unit_interval, whole
from gradtx.frames.carry import along_columns, along_rows
from gradtx.frames.eigenbasis import Basis
from gradtx.frames.frame import Frame, Leaf
from gradtx.meshes import gathered_once
from gradtx.shown import ShownAsCall
from gradtx.transforms.decompositions import svd
from gradtx.transforms.products import adjoint, bounded, product


class SingularVectorsState(NamedTuple):
    """The basis of one matrix, or of several.

    mean: running mean of the gradients, like the leaf, float32 or wider; 0 at init.
    vectors: the orthogonal matrix Q of singular vectors along the shorter side; the identity at init.
    skipped: means, and bases, that were not finite and left all this as it was, 1 × 1, int32; 0.
    """

    mean: Basis
    vectors: Basis
    skipped: jax.Array


@dataclasses.dataclass(frozen=True, repr=False)
class SingularVectors(ShownAsCall, Frame):
    """See `singular_vectors`."""

    maker = "frames.singular_vectors"

    decay: float
    every: int

    @property
    def period(self) -> int:
        """Steps between two bases."""
        return self.every

    @property
    def carries(self) -> tuple[str, ...]:
        """Momentum goes with the basis, squares stay, as in the paper."""
        return ("turn_signed", "turn", "keep")

    def takes(self, leaf: Leaf) -> bool:
        """Leaves with two axes or more, none of them empty."""
        return len(leaf.shape) >= 2 and all(leaf.shape)

    def words(self, leaf: Leaf) -> str:
        """Along which side."""
        if not self.takes(leaf):
            return "no basis: no matrix"
        return f"singular vectors of {'rows' if _is_wide(leaf.shape) else 'columns'}"

    def init(self, leaf: Leaf, salt: np.ndarray) -> SingularVectorsState:
        """No gradient seen, and the coordinates that the leaf has."""
        dtype, short = at_width(leaf.dtype, float_dtype(leaf)), min(leaf.shape[-2:])
        eye = jnp.broadcast_to(jnp.eye(short, dtype=dtype), (*leaf.shape[:-2], short, short))
        return SingularVectorsState(jnp.zeros(leaf.shape, dtype), eye, jnp.zeros((*leaf.shape[:-2], 1, 1), jnp.int32))

    def begin(self, basis: SingularVectorsState, x: jax.Array) -> jax.Array:
        """The parameter: the first Q is the identity."""
        return x

    def learn(self, basis: SingularVectorsState, g: jax.Array) -> SingularVectorsState:
        """The mean with g, unless that is not finite."""
        g = gathered_once(g, (-2 if _is_wide(g.shape) else -1,))
        mean = ema(basis.mean, jax.lax.stop_gradient(g).astype(basis.mean.dtype), self.decay)
        finite = jnp.all(jnp.isfinite(mean), (-2, -1), keepdims=True)
        return basis._replace(mean=jnp.where(finite, mean, basis.mean), skipped=increment(basis.skipped, ~finite))

    def refresh(self, basis: SingularVectorsState, g: jax.Array, first: jax.Array) -> SingularVectorsState:
        """The singular vectors of the mean; the old ones where that is 0."""
        size = jnp.max(jnp.abs(basis.mean), axis=(-2, -1), keepdims=True)  # squares of entries may overflow
        u, _, vh = svd(basis.mean / jnp.where(size == 0, jnp.ones_like(size), size).astype(basis.mean.dtype))
        new = u if _is_wide(g.shape) else adjoint(vh)
        finite = jnp.all(jnp.isfinite(new), (-2, -1), keepdims=True)
        return basis._replace(
            vectors=jnp.where((size == 0) | ~finite, basis.vectors, new), skipped=increment(basis.skipped, ~finite)
        )

    def into(self, basis: SingularVectorsState, x: jax.Array) -> jax.Array:
        """Qᴴ·x or x·Q."""
        short = (-2 if _is_wide(x.shape) else -1,)
        x = bounded(gathered_once(x, short).astype(at_width(x.dtype, float_dtype(x))))
        q = gathered_once(basis.vectors).astype(x.dtype)
        return product(adjoint(q), x) if _is_wide(x.shape) else product(x, q)

    def out(self, basis: SingularVectorsState, y: jax.Array, leaf: Leaf) -> jax.Array:
        """Q·y or y·Qᴴ."""
        y = gathered_once(y, (-2 if _is_wide(leaf.shape) else -1,))
        q = gathered_once(basis.vectors).astype(y.dtype)
        return product(q, y) if _is_wide(leaf.shape) else product(y, adjoint(q))

    def carry(
        self, role: str, y: jax.Array, old: SingularVectorsState, new: SingularVectorsState, leaf: Leaf
    ) -> jax.Array:
        """The field along the new vectors."""
        turn = product(adjoint(gathered_once(old.vectors)), gathered_once(new.vectors))
        y = gathered_once(y, (-2 if _is_wide(leaf.shape) else -1,))
        return (along_rows if _is_wide(leaf.shape) else along_columns)(turn, role, y)


def singular_vectors(decay: float = 0.9, every: int = 2000) -> Frame:
    """Matrices in the singular vectors of the running mean of g, along their shorter side: the coordinates of Conda.

        M = decay·M + (1 - decay)·g        M = U·Σ·Vᴴ        every few steps
        y = Uᴴ·g for m ≤ n                 u = U·v           y = g·V for others, u = v·Vᴴ

    M is updated in every step, before the basis. The first basis is that of the first gradient. Where all gradients
    have been zero, the coordinates are those that the leaf has, until the next basis. In derivatives, the basis counts
    as a constant. A mean or basis that is not finite is not used, and counted. Entries above 8e37/√(m·n) (float32)
    count as that.

    `in_frame` turns the momentum inside when the basis changes, and keeps second moments as they are, as the paper
    does; `carry="turn"` turns these too. Vectors and scalars pass. Of more than two axes, the last two make the
    matrices: see `matrices` for others. `state_shardings` and `zero_shardings` keep M and the basis whole on every
    device, unless `others=owner_sharding`.

    Args:
        decay: the weight of the past in M; in [0, 1].
        every: steps between two bases; a whole number, at least 1.

    Raises: TypeError, ValueError: an argument is something else.
    Source: Wang et al. 2025 (arXiv:2509.24218), Conda. M is the momentum of Adam there; here it is kept in addition, so
        that anything may run inside.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.scale_by_sign(), gradtx.frames.singular_vectors())
        >>> g = jnp.asarray([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
        >>> print(abs(tx.update(g, tx.init(g))[0]))
        [[0. 1. 0.]
         [0. 0. 1.]]
    """
    fixed(**{"singular_vectors: decay": decay})
    in_unit_interval(**{"singular_vectors: decay": decay})
    whole(1, **{"singular_vectors: every": every})
    return SingularVectors(float(decay), every)


def _is_wide(shape: tuple[int, ...]) -> bool:
    return shape[-2] <= shape[-1]
