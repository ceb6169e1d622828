"""Planes, what is on one side of a plane, and lines."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.errors import describe
from gradtx.sets.set import Plain, Set, as_constant, is_complex


class _Along(Plain):
    """What these sets share: a a a, nested tuples of Python floats."""

    a: Any

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Complex parameters, and shapes that are not that of a."""
        return "real" if is_complex(leaf) else "" if leaf.shape == np.shape(self.a) else f"of shape {np.shape(self.a)}"

    def part(self, x: jax.Array, b: float = 0.0) -> tuple[jax.Array, jax.Array]:
        """a, and how many times a lies between x and where Σ a·x = b."""
        a = np.asarray(self.a, np.float64)
        unit = 2.0 ** math.floor(math.log2(np.max(np.abs(a))))  # so that the squares neither overflow nor vanish
        a = a / unit
        squares = float(np.sum(a * a))
        return jnp.asarray(a, x.dtype), (jnp.sum(jnp.asarray(a, x.dtype) * x) - b / unit) / squares


@dataclasses.dataclass(frozen=True, repr=False)
class Hyperplane(_Along):
    """See `hyperplane`."""

    a: Any
    b: float
    maker = "sets.hyperplane"

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """x, moved along a."""
        a, over = self.part(x, self.b)
        return x - over * a


@dataclasses.dataclass(frozen=True, repr=False)
class Halfspace(_Along):
    """See `halfspace`."""

    a: Any
    b: float
    maker = "sets.halfspace"

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """x, moved along a if it is on the other side."""
        a, over = self.part(x, self.b)
        return x - jnp.maximum(over, 0.0) * a


@dataclasses.dataclass(frozen=True, repr=False)
class Line(_Along):
    """See `line`."""

    a: Any
    maker = "sets.line"

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """The part of x along a."""
        a, along = self.part(x)
        return along * a


def hyperplane(a: Any, b: float = 0.0) -> Set:
    """Points with Σ a·w = b. Real parameters of the shape of a.

    Args:
        a: numbers, not all 0; an array or nested tuples.
        b: finite.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.hyperplane((1.0, 1.0), 3.0).project(jnp.array([0.0, 1.0]), None))
        [1. 2.]
    """
    return Hyperplane(_normal(a), as_constant("b", b))


def halfspace(a: Any, b: float = 0.0) -> Set:
    """Points with Σ a·w <= b. Real parameters of the shape of a.

    Args:
        a: numbers, not all 0; an array or nested tuples.
        b: finite.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.halfspace((1.0, 1.0), 3.0).project(jnp.array([4.0, 1.0]), None))
        [3. 0.]
    """
    return Halfspace(_normal(a), as_constant("b", b))


def line(a: Any) -> Set:
    """The multiples of a. Real parameters of the shape of a.

    Args:
        a: numbers, not all 0; an array or nested tuples.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.line((1.0, 1.0)).project(jnp.array([0.0, 1.0]), None))
        [0.5 0.5]
    """
    return Line(_normal(a))


def _normal(a: Any) -> Any:
    """a as nested tuples of Python floats, which compare and hash."""
    array = np.asarray(a)
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)) or not np.any(array):
        raise ValueError(f"a must be finite real numbers, not all 0; got {describe(a)}")

    def frozen(x: Any) -> Any:
        return tuple(map(frozen, x)) if isinstance(x, list) else x

    return frozen(array.astype(np.float64).tolist())
