"""Simplices, and balls and spheres of the sum of sizes."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.sets.set import Plain, Set, as_constant, is_complex, misses_axes
from gradtx.transforms.radial import as_axes


class _Sums(Plain, abc.ABC):
    """What these sets share: they look at all entries of a parameter, or of each slice along an axis."""

    axis: int | None

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Complex parameters, those without this axis, and those without an entry."""
        empty = "" if leaf.size else "an array with at least one entry"
        return "real" if is_complex(leaf) else misses_axes(leaf, as_axes(self.axis)) or empty

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """The nearest point."""
        if self.axis is None:
            return self.nearest(x.reshape(-1)).reshape(x.shape)
        return jnp.moveaxis(self.nearest(jnp.moveaxis(x, self.axis, -1)), -1, self.axis)

    @abc.abstractmethod
    def nearest(self, x: jax.Array) -> jax.Array:
        """The nearest point, slice by slice along the last axis."""


@dataclasses.dataclass(frozen=True, repr=False)
class Simplex(_Sums):
    """See `simplex`."""

    total: float
    axis: int | None
    maker = "sets.simplex"

    def nearest(self, x: jax.Array) -> jax.Array:
        """x less one number, cut at 0."""
        return _on_simplex(x, self.total)


@dataclasses.dataclass(frozen=True, repr=False)
class L1Sphere(_Sums):
    """See `l1_sphere`."""

    radius: float
    axis: int | None
    maker = "sets.l1_sphere"

    def nearest(self, x: jax.Array) -> jax.Array:
        """The sizes on the simplex, with their signs."""
        return _on_simplex(jnp.abs(x), self.radius) * jnp.where(x < 0, -1.0, 1.0)


@dataclasses.dataclass(frozen=True, repr=False)
class L1Ball(_Sums):
    """See `l1_ball`."""

    radius: float
    axis: int | None
    maker = "sets.l1_ball"

    def nearest(self, x: jax.Array) -> jax.Array:
        """x, or where its sizes sum to more than the radius, the nearest point with that sum."""
        # Summed as shares of the radius, which do not overflow.
        inside = jnp.sum(jnp.abs(x) / self.radius, -1, keepdims=True) <= 1.0
        return jnp.where(inside, x, L1Sphere(self.radius, None).nearest(x))


def _on_simplex(x: jax.Array, total: float) -> jax.Array:
    """The nearest point whose last axis has entries of at least 0 with this sum."""
    # Adding one number to all entries changes nothing. Below the largest by `total` or more, an entry becomes 0.
    x = jnp.maximum(x - jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True)), -total)
    down = -jnp.sort(-jax.lax.stop_gradient(x), -1)
    k = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    cut = (jnp.cumsum(down, -1) - total) / k.reshape((1,) * (x.ndim - 1) + (-1,))
    count = jnp.sum(down > cut, -1, keepdims=True)
    cut = jnp.take_along_axis(cut, jnp.maximum(count - 1, 0), -1)
    inside = x > cut
    # Once more from the entries themselves: a sum of many has more digits than a running sum, and a derivative.
    count = jnp.maximum(jnp.sum(inside, -1, keepdims=True), 1).astype(x.dtype)
    cut = (jnp.sum(jnp.where(inside, x, 0.0), -1, keepdims=True) - total) / count
    return jnp.maximum(x - cut, 0.0)


def simplex(total: float = 1.0, axis: int | None = None) -> Set:
    """Entries of at least 0 with this sum: probabilities. Real parameters.

    Args:
        total: greater than 0, finite.
        axis: each slice along this axis has the sum; None: the whole parameter.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.simplex().project(jnp.array([0.75, -2.0, 0.75]), None))
        [0.5 0.  0.5]
    """
    return Simplex(as_constant("total", total, 0.0, above=True), _one_axis(axis))


def l1_ball(radius: float = 1.0, axis: int | None = None) -> Set:
    """Points whose entries have sizes that sum to at most `radius`: many become 0. Real parameters.

    Args:
        radius: greater than 0, finite.
        axis: as in `simplex`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.l1_ball().project(jnp.array([-1.5, 0.25, 1.0]), None))
        [-0.75  0.    0.25]
    """
    return L1Ball(as_constant("radius", radius, 0.0, above=True), _one_axis(axis))


def l1_sphere(radius: float = 1.0, axis: int | None = None) -> Set:
    """Points whose entries have sizes that sum to `radius`. Real parameters.

    Args:
        radius: greater than 0, finite.
        axis: as in `simplex`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.l1_sphere().project(jnp.array([-0.25, 0.25]), None))
        [-0.5  0.5]
    """
    return L1Sphere(as_constant("radius", radius, 0.0, above=True), _one_axis(axis))


def _one_axis(axis: Any) -> int | None:
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
        raise TypeError(f"axis must be a whole number or None; got {axis!r}")
    return axis
