"""The frame of eigenvectors: matrices seen from the axes along which their gradients vary."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import ema, increment
from gradtx.core.states import Role
from gradtx.errors import describe, fixed, in_unit_interval, one_of, whole
from gradtx.frames import kullback_leibler
from gradtx.frames.carry import along_columns, along_rows
from gradtx.frames.frame import Frame, Leaf
from gradtx.frames.iteration import eigenvectors
from gradtx.meshes import gathered_once
from gradtx.shown import ShownAsCall
from gradtx.transforms.products import adjoint, bounded, product

Basis = Annotated[Any, Role("exact"), Role("basis")]  # no codec rounds it, and no frame around this one turns it

_SIDES = ("both", "smaller", "rows", "columns")


class EigenbasisState(NamedTuple):
    """The basis of one matrix, or of several; None for a side that keeps its coordinates.

    rows, columns: running means of g·gᴴ and gᴴ·g, m × m and n × n, float32 or wider; 0 at init.
    left, right: the orthogonal matrices Q of their eigenvectors; the identity at init.
    row_values, column_values: with kl, estimates of the eigenvalues, m × 1 and 1 × n; 0 at init. Else None.
    skipped: gradients, and new bases, that were not finite and left all this as it was, 1 × 1, int32; 0.
    """

    rows: Basis
    columns: Basis
    left: Basis
    right: Basis
    row_values: Basis
    column_values: Basis
    skipped: jax.Array


@dataclasses.dataclass(frozen=True, repr=False)
class Eigenbasis(ShownAsCall, Frame):
    """See `eigenbasis`."""

    maker = "frames.eigenbasis"

    decay: float
    every: int
    sides: str
    max_dim: int
    kl: bool
    staggered: bool
    exact: bool

    @property
    def period(self) -> int:
        """Steps between two bases."""
        return self.every

    def phase(self, leaf: Leaf) -> int:
        """A number that the shape alone gives."""
        return zlib.crc32(repr(tuple(leaf.shape)).encode()) % self.every if self.staggered else 0

    def takes(self, leaf: Leaf) -> bool:
        """Leaves with two axes or more; at least one axis gets a basis."""
        return len(leaf.shape) >= 2 and any(self._turned(leaf.shape))

    def words(self, leaf: Leaf) -> str:
        """Which sides get a basis, and which are too long for one."""
        if len(leaf.shape) < 2:
            return "no basis: no matrix"
        turned = [what for what, own in zip(("rows", "columns"), self._turned(leaf.shape), strict=True) if own]
        long = [f"{n} {what} > {self.max_dim}" for n, what in self._wanted(leaf.shape) if n > self.max_dim]
        return ", ".join([f"basis of {' and '.join(turned)}" if turned else "no basis", *long])

    def init(self, leaf: Leaf, salt: np.ndarray) -> EigenbasisState:
        """No gradient seen, and the coordinates that the leaf has."""
        width, front, (m, n) = float_dtype(leaf), leaf.shape[:-2], leaf.shape[-2:]
        dtype = at_width(leaf.dtype, width)

        def side(n: int) -> tuple[jax.Array, jax.Array]:
            shape = (*front, n, n)
            return jnp.zeros(shape, dtype), jnp.broadcast_to(jnp.eye(n, dtype=dtype), shape)

        left, right = self._turned(leaf.shape)
        rows, q_left = side(m) if left else (None, None)
        columns, q_right = side(n) if right else (None, None)
        both = self.kl and left and right
        of_rows, of_columns = (jnp.zeros((*front, *x), width) if both else None for x in ((m, 1), (1, n)))
        return EigenbasisState(
            rows, columns, q_left, q_right, of_rows, of_columns, jnp.zeros((*front, 1, 1), jnp.int32)
        )

    def begin(self, basis: EigenbasisState, x: jax.Array) -> jax.Array:
        """The parameter: the first Q is the identity."""
        return x

    def learn(self, basis: EigenbasisState, g: jax.Array) -> EigenbasisState:
        """All running means with g."""
        g = gathered_once(g).astype((basis.columns if basis.rows is None else basis.rows).dtype)
        finite = jnp.isfinite(jnp.sum(jnp.abs(g) * 0, (-2, -1), keepdims=True))
        left, right = (
            (gathered_once(kullback_leibler.clipped(g)),) * 2
            if basis.row_values is None
            else kullback_leibler.whitened(basis, g)
        )
        new = basis._replace(
            rows=None if basis.rows is None else ema(basis.rows, product(right, adjoint(right)), self.decay),
            columns=None if basis.columns is None else ema(basis.columns, product(adjoint(left), left), self.decay),
        )
        if basis.row_values is not None:
            new = kullback_leibler.learnt(new, basis, g, self.decay)
            finite &= jnp.isfinite(
                jnp.max(new.row_values, -2, keepdims=True) + jnp.max(new.column_values, -1, keepdims=True)
            )
        return jax.tree.map(functools.partial(jnp.where, finite), new, basis._replace(skipped=increment(basis.skipped)))

    def refresh(self, basis: EigenbasisState, g: jax.Array, first: jax.Array) -> EigenbasisState:
        """The eigenvectors at first, or always; else one step of orthogonal iteration from the old ones."""
        g, anew = gathered_once(g), None if self.exact else first
        new = basis._replace(
            left=None if basis.left is None else gathered_once(eigenvectors(basis.rows, basis.left, anew)),
            right=None if basis.right is None else gathered_once(eigenvectors(basis.columns, basis.right, anew)),
        )
        sums = [jnp.sum(abs(q), (-2, -1), keepdims=True) for q in (new.left, new.right) if q is not None]
        finite = jnp.isfinite(sum(sums))
        if basis.row_values is not None:
            new = kullback_leibler.turned(new, basis, g, first)
        return jax.tree.map(functools.partial(jnp.where, finite), new, basis._replace(skipped=increment(basis.skipped)))

    def into(self, basis: EigenbasisState, x: jax.Array) -> jax.Array:
        """Q_Lᴴ·x·Q_R."""
        x = bounded(gathered_once(x).astype(at_width(x.dtype, float_dtype(x))))
        left, right = _whole(basis)
        x = x if left is None else product(adjoint(left).astype(x.dtype), x)
        return x if right is None else product(x, right.astype(x.dtype))

    def out(self, basis: EigenbasisState, y: jax.Array, leaf: Leaf) -> jax.Array:
        """Q_L·y·Q_Rᴴ."""
        y, (left, right) = gathered_once(y), _whole(basis)
        y = y if left is None else product(left.astype(y.dtype), y)
        return y if right is None else product(y, adjoint(right).astype(y.dtype))

    def carry(self, role: str, y: jax.Array, old: EigenbasisState, new: EigenbasisState, leaf: Leaf) -> jax.Array:
        """The field along the new eigenvectors."""
        y, (left, right), (new_left, new_right) = gathered_once(y), _whole(old), _whole(new)
        y = y if left is None else along_rows(product(adjoint(left), new_left), role, y)
        return y if right is None else along_columns(product(adjoint(right), new_right), role, y)

    def _wanted(self, shape: tuple[int, ...]) -> list[tuple[int, str]]:
        """The sides that should get a basis, with their lengths."""
        m, n = shape[-2:]
        left, right = self.sides in ("both", "rows"), self.sides in ("both", "columns")
        if self.sides == "smaller":
            left, right = m <= n, n < m
        return [(n, what) for own, n, what in ((left, m, "rows"), (right, n, "columns")) if own]

    def _turned(self, shape: tuple[int, ...]) -> tuple[bool, bool]:
        """Whether the rows, and whether the columns, get a basis."""
        own = {what for n, what in self._wanted(shape) if 0 < n <= self.max_dim}
        return "rows" in own, "columns" in own


def eigenbasis(
    decay: float = 0.95,
    every: int = 10,
    sides: str = "both",
    max_dim: int = 10_000,
    kl: bool = False,
    staggered: bool = False,
    exact: bool = False,
) -> Frame:
    """Matrices in the eigenvectors of the running means of g·gᴴ and gᴴ·g: SOAP's coordinates, around anything.

        L = decay·L + (1 - decay)·g·gᴴ       Q_L = eigenvectors of L
        R = decay·R + (1 - decay)·gᴴ·g       Q_R = eigenvectors of R
        y = Q_Lᴴ·g·Q_R                       u = Q_L·v·Q_Rᴴ

    The means are updated in every step, before the basis. The first basis is that of the first gradient. Later ones are
    one step of orthogonal iteration from the one before: Q = qr(L·Q), with the columns in falling order of the diagonal
    of QᴴLQ; with `exact` they are eigenvectors too. Where all gradients have been zero, the coordinates are those that
    the leaf has, and the next basis after the first other gradient is decomposed: in a stack too, of which all matrices
    are then decomposed, although the others keep to the iteration. For that, devices that share out a stack send one
    bit for each side, in steps with a new basis. In derivatives, Q counts as a constant.

    With kl, the gradients in each mean are whitened by the other side first. L ⊗ R is then nearest to the covariance of
    the gradients in the Kullback-Leibler divergence. It needs both sides; matrices with one side have the means above.
    With S = √(mean g²) of the first gradient:

        L = decay·L + (1 - decay)·g·R⁻¹·gᴴ/n      R⁻¹ = Q_R·diag(1/d_R)·Q_Rᴴ      at first 1/S
        R = decay·R + (1 - decay)·gᴴ·L⁻¹·g/m      L⁻¹ = Q_L·diag(1/d_L)·Q_Lᴴ      at first 1/S
        d_L = decay·d_L + (1 - decay)·mean over the columns of y²/d_R;      d_R likewise

    There d counts as at least max(d)/k², k = max(10, min(dim, 4000)). Gradients and bases that are not finite are not
    used, and counted. What is inside still gets such a gradient, unless `skip_nonfinite` is around the optimizer.
    With both sides, the first gradient is diagonal in its own basis: its other entries are rounding, to which Adam
    gives steps of full length and of either sign, in this one step.
    Vectors and scalars pass. Of more than two axes, the last two make the matrices: see `matrices` for others. Entries
    above 8e37/√(m·n) (float32) count as that. Under `jit` on a mesh, a split matrix of up to 2²⁴ entries is gathered
    once in each step, and what came out inside too; with a new basis, also each field that is carried. `owner_sharding`
    says what is gathered besides, if it has split L, R and Q.
    `store` leaves all of this exact. Rounded to bfloat16 after each step, Q was orthogonal to 5e-3 in place of 1e-6,
    and SOAP on 8×8 digits ended with the same loss: four seeds differ by ten times as much.

    Args:
        decay: the weight of the past in L and R; in [0, 1].
        every: steps between two bases; a whole number, at least 1.
        sides: which sides get a basis: "both", "rows" (L), "columns" (R), or "smaller", the shorter one.
        max_dim: a side that is longer than this keeps its coordinates; a whole number, at least 1. `plan` says which.
        kl: whether the means are those above.
        staggered: whether each shape gets its bases in steps of its own, after the first, so that none does all work.
        exact: whether later bases are decomposed too, which takes longer.

    Raises: TypeError, ValueError: an argument is something else.
    Source: Vyas et al. 2024 (arXiv:2409.11321), algorithm 3. The authors' code makes no update in the first step, and
        learns after each step instead of before. kl: Lin et al. 2025 (arXiv:2509.03378); the authors' code starts with
        d = .1 and bounds it by 1/k², whatever the size of the gradients.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.eigenbasis(sides="rows"))
        >>> g = jnp.asarray([[3.0, 1.0], [1.0, 3.0]])
        >>> print(abs(tx.update(g, tx.init(g))[0]).round(3))
        [[1.414 0.   ]
         [0.    1.414]]
    """
    fixed(**{"eigenbasis: decay": decay})
    in_unit_interval(**{"eigenbasis: decay": decay})
    whole(1, **{"eigenbasis: every": every, "eigenbasis: max_dim": max_dim})
    one_of(_SIDES, **{"eigenbasis: sides": sides})
    for name, value in {"kl": kl, "staggered": staggered, "exact": exact}.items():
        if not isinstance(value, bool):
            raise TypeError(f"eigenbasis: {name} must be True or False; got {describe(value)}")
    return Eigenbasis(float(decay), every, sides, max_dim, kl, staggered, exact)


def _whole(basis: EigenbasisState) -> tuple[Any, Any]:
    """Q_L and Q_R, gathered where they are split."""
    left, right = (None if q is None else gathered_once(q) for q in (basis.left, basis.right))
    return left, right
