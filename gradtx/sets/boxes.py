"""Boxes: sets that bound each entry by itself."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gradtx.errors import describe
from gradtx.sets.set import Plain, Set, as_constant, is_complex


@dataclasses.dataclass(frozen=True, repr=False)
class Box(Plain):
    """See `box`."""

    lower: float
    upper: float
    maker = "sets.box"

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Complex parameters, which have no order."""
        return "real" if is_complex(leaf) else ""

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """x, cut at the bounds."""
        return jnp.clip(x, self.lower, self.upper)


def box(lower: float = -math.inf, upper: float = math.inf) -> Set:
    """Entries between two bounds. Real parameters.

    Args:
        lower, upper: the bounds; lower <= upper; minus infinity and infinity for no bound.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sets.box(-1, 1).project(jnp.array([-3.0, 0.5, 2.0]), None))
        [-1.   0.5  1. ]
    """
    for name, value in (("lower", lower), ("upper", upper)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a Python number; got {describe(value)}")
    if not lower <= upper:
        raise ValueError(f"lower must not be greater than upper; got {lower!r} and {upper!r}")
    return Box(float(lower), float(upper))


def nonnegative() -> Set:
    """Entries of at least 0: `box(lower=0.0)`.

    Example:
        >>> import gradtx
        >>> gradtx.sets.nonnegative()
        sets.box(lower=0.0, upper=inf)
    """
    return box(lower=0.0)


def hypercube(side: float = 1.0) -> Set:
    """Entries between 0 and `side`: `box(0.0, side)`.

    Args:
        side: finite, at least 0.

    Example:
        >>> import gradtx
        >>> gradtx.sets.hypercube()
        sets.box(lower=0.0, upper=1.0)
    """
    return box(0.0, as_constant("side", side, 0.0))


def linf_ball(radius: float = 1.0) -> Set:
    """Entries of at most `radius` in size: `box(-radius, radius)`.

    Args:
        radius: finite, at least 0.

    Example:
        >>> import gradtx
        >>> gradtx.sets.linf_ball(2.0)
        sets.box(lower=-2.0, upper=2.0)
    """
    radius = as_constant("radius", radius, 0.0)
    return box(-radius, radius)
