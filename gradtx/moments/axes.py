"""Means along some axes, and checks of axes."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.errors import whole


def mean(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The mean along some axes, which then have length 1; it does not overflow."""
    count = math.prod(x.shape[axis] for axis in axes)
    if count == 1:
        return x
    unit = 0.5 ** count.bit_length()  # a power of two, which rounds nothing
    return jnp.sum(x * unit, axes, keepdims=True) / max(count * unit, unit)


def with_length(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    """The shape with another length of one axis."""
    return tuple(length if k == axis % len(shape) else n for k, n in enumerate(shape))


def require_axes(axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise ValueError unless a leaf of this shape has these axes, and each is another one."""
    missing = next((axis for axis in axes if not -len(shape) <= axis < len(shape)), None)
    if missing is not None:
        raise ValueError(f"it has no axis {missing}")
    if len({axis % len(shape) for axis in axes}) < len(axes):
        raise ValueError(f"two of the axes {axes} are the same one of it")


def whole_numbers(axes: Any) -> tuple[int, ...]:
    """The axes; TypeError unless this is a tuple of whole numbers."""
    if not isinstance(axes, tuple):
        raise TypeError(f"axes must be a tuple of whole numbers; got {axes!r}")
    for k, axis in enumerate(axes):
        whole(**{f"axes[{k}]": axis})
    return axes
