"""Orthogonal matrices."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gradtx.core.numerics import quotient
from gradtx.sets.set import Plain, Set
from gradtx.transforms.decompositions import svd
from gradtx.transforms.products import adjoint, product


@dataclasses.dataclass(frozen=True, repr=False)
class Stiefel(Plain):
    """See `stiefel`."""

    maker = "sets.stiefel"

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """All but matrices and stacks of matrices."""
        return "" if leaf.ndim >= 2 and leaf.size else "a matrix"

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """The orthogonal factor of x."""
        wide = x.shape[-2] < x.shape[-1]
        return adjoint(_orthogonal_factor(adjoint(x))) if wide else _orthogonal_factor(x)


@jax.custom_jvp
def _orthogonal_factor(x: jax.Array) -> jax.Array:
    """UVᴴ of x = UΣVᴴ, for matrices with at least as many rows as columns."""
    u, _, vh = svd(x)
    return product(u, vh)


@_orthogonal_factor.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    # That of the singular vectors is infinite where two singular values are equal; this one is not.
    (x,), (dx,) = primals, tangents
    u, s, vh = svd(x)
    v = adjoint(vh)
    dx_v = product(dx, v)
    inside = product(adjoint(u), dx_v)
    sums = (s[..., :, None] + s[..., None, :]).astype(x.dtype)
    turned = product(u, quotient(inside - adjoint(inside), sums))
    outside = quotient(dx_v - product(u, inside), jnp.broadcast_to(s[..., None, :], dx_v.shape).astype(x.dtype))
    return product(u, vh), product(turned + outside, vh)


def stiefel() -> Set:
    """Matrices with orthonormal columns, or rows if there are fewer rows; also stacks of them, `(..., m, n)`.

    The nearest point is the orthogonal factor UVᵀ of x = UΣVᵀ, from a singular value decomposition in every step.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(abs(gradtx.sets.stiefel().project(jnp.array([[3.0, 0.0], [0.0, 2.0]]), None)))
        [[1. 0.]
         [0. 1.]]
    """
    return Stiefel()
