"""The protocol of sets, what makers of sets share, and the set of all points."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gradtx.errors import describe
from gradtx.shown import ShownAsCall


@runtime_checkable
class Set(Protocol):
    """A set of values that a parameter may have. Write a frozen dataclass: it must compare, hash and pickle.

    Arrays are float32 or float64, or complex of that width.
    """

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """What this parameter would have to be, if the set cannot take it: "a matrix"; else ""."""
        ...

    def starts(self, w: jax.Array) -> jax.Array | None:
        """What the set needs of the initial parameter, such as its norm; None if nothing."""
        ...

    def project(self, x: jax.Array, start: Any) -> jax.Array:
        """The point of the set nearest to x; x itself, the same object, if nothing ever moves.

        `start` is what `starts` gave.
        """
        ...


def require_set(**sets: Any) -> None:
    """Raise TypeError unless each value is a set; a class or a function is not."""
    for name, value in sets.items():
        if isinstance(value, type) or not isinstance(value, Set):
            called = f": call it, {value.__name__}()" if callable(value) and hasattr(value, "__name__") else ""
            raise TypeError(f"{name} must be a set, such as gradtx.sets.sphere(); got {describe(value)}{called}")


def as_constant(name: str, value: Any, least: float = -math.inf, *, above: bool = False) -> float:
    """The argument as a Python float; a set is a value, so its numbers are known when it is made.

    Raises: TypeError: it is not a number. ValueError: it is not finite, is below `least`, or with `above` equal to it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a Python number; got {describe(value)}")
    if not math.isfinite(value) or value < least or (above and value == least):
        word = "finite" if least == -math.inf else f"finite and {'greater than' if above else 'at least'} {least:g}"
        raise ValueError(f"{name} must be {word}; got {value!r}")
    return float(value)


def misses_axes(leaf: jax.ShapeDtypeStruct, axes: tuple[int, ...] | None) -> str:
    """`"an array with axis 2"` if the leaf has not all of these axes, or the like if it has one twice; else ""."""
    missing = [k for k in axes or () if not -leaf.ndim <= k < leaf.ndim]
    if missing:
        return f"an array with axis {missing[0]}"
    twice = len({k % leaf.ndim for k in axes or ()}) < len(axes or ())
    return f"an array where {axes} are different axes" if twice else ""


def is_complex(leaf: Any) -> bool:
    """Whether the leaf is complex."""
    return jnp.issubdtype(leaf.dtype, jnp.complexfloating)


class Plain(ShownAsCall):
    """A set that needs nothing of the initial parameters."""

    def starts(self, w: jax.Array) -> jax.Array | None:
        """Nothing."""


@dataclasses.dataclass(frozen=True, repr=False)
class Everywhere(Plain):
    """See `everywhere`."""

    maker = "sets.everywhere"

    def refuses(self, leaf: jax.ShapeDtypeStruct) -> str:
        """Nothing."""
        return ""

    def project(self, x: jax.Array, start: None) -> jax.Array:
        """x itself."""
        return x


def everywhere() -> Set:
    """All points: a projection onto it changes nothing.

    Example:
        >>> import gradtx
        >>> gradtx.sets.everywhere()
        sets.everywhere()
    """
    return Everywhere()
