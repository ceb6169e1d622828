"""Balls and spheres of the Euclidean norm."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import quotient
from gradtx.sets.set import Plain, Set, as_constant, misses_axes
from gradtx.transforms.norms import leaf_norm, within
from gradtx.transforms.radial import as_axes


@dataclasses.dataclass(frozen=True, repr=False)
class Sphere(Plain):
    """See `sphere`."""

    radius: float | None
    axis: Any
    maker = "sets.sphere"

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Parameters without these axes."""
        return misses_axes(leaf, as_axes(self.axis))

    def starts(self, w: jax.Array) -> jax.Array | None:
        """The norm, if that is the radius."""
        return leaf_norm(w, as_axes(self.axis)) if self.radius is None else None

    def project(self, x: jax.Array, start: Any) -> jax.Array:
        """x, made longer or shorter; of 0 all points are as near, and it gives that with equal entries."""
        axes = as_axes(self.axis)
        norm = leaf_norm(x, axes)
        radius: Any = self.radius if start is None else start
        count = max(x.size // max(norm.size, 1), 1)
        direction = jnp.where(norm == 0, 1.0 / count**0.5, quotient(x, jnp.broadcast_to(norm, x.shape)))
        return radius * direction


@dataclasses.dataclass(frozen=True, repr=False)
class L2Ball(Plain):
    """See `l2_ball`."""

    radius: float
    axis: Any
    maker = "sets.l2_ball"

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Parameters without these axes."""
        return misses_axes(leaf, as_axes(self.axis))

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """x, made shorter if it is too long."""
        return within(self.radius, leaf_norm(x, as_axes(self.axis))) * x


def sphere(radius: float | None = None, axis: Any = None) -> Set:
    """Points of one Euclidean norm: that of the initial parameter, or a given one.

    Without a radius, a parameter that starts at 0 would stay there, and is an error; under jit, where it is not known,
    it stays. Give a radius, or start elsewhere.

    Args:
        radius: greater than 0, finite; None for the norm of the initial parameter.
        axis: an axis or a tuple: each slice along them has this norm, as `axis=0` for the columns of a matrix. None:
            the whole parameter.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.sphere(10.0).project(jnp.array([3.0, 4.0]), None))
        [6. 8.]
    """
    radius = None if radius is None else as_constant("radius", radius, 0.0, above=True)
    as_axes(axis)
    return Sphere(radius, axis)


def l2_ball(radius: float = 1.0, axis: Any = None) -> Set:
    """Points of at most this Euclidean norm.

    Args:
        radius: greater than 0, finite.
        axis: as in `sphere`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.l2_ball(10.0).project(jnp.array([30.0, 40.0]), None))
        [6. 8.]
    """
    as_axes(axis)
    return L2Ball(as_constant("radius", radius, 0.0, above=True), axis)
