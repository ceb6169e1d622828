"""Arguments of pictures as NumPy arrays of the right shapes; errors name the entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtx.errors import describe


def entries(name: str, given: Any, holds: str) -> dict[str, Any]:
    """Check an argument that must be a dict with labels as keys; `holds` describes an entry, for the error.

    Raises: TypeError: it is not a dict, or a key is not a label. ValueError: it is empty.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a dict, label -> {holds}; got {describe(given)}")
    if not given:
        raise ValueError(f"{name} is empty: give at least one entry, label -> {holds}")
    for key in given:
        if not isinstance(key, str):
            raise TypeError(f"the keys of {name} must be labels, as str; got {key!r}")
    return dict(given)


def array(name: str, given: Any, *axes: str | int) -> np.ndarray:
    """The argument as a float64 array with these axes: the length of an axis, or a name for any length above 0.

    Raises: TypeError: not real numbers. ValueError: another shape, or an empty axis.
    """
    wanted = f"[{', '.join(map(str, axes))}]"
    try:
        found = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} must be an array {wanted}; got rows of different lengths") from None
    if found.dtype.kind not in "fiub" and not str(found.dtype).startswith(("bfloat", "float")):
        kind = f"an array of type {found.dtype}" if hasattr(given, "dtype") else describe(given)
        raise TypeError(f"{name} must be an array {wanted} of real numbers; got {kind}")
    fits = found.ndim == len(axes) and all(
        n == axis if isinstance(axis, int) else n > 0 for n, axis in zip(found.shape, axes, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must be an array {wanted}; got the shape {found.shape}")
    return found.astype(np.float64)


def some_finite(name: str, values: np.ndarray) -> None:
    """Raise ValueError if no number is finite, so that there is nothing to draw."""
    if not np.isfinite(values).any():
        raise ValueError(f"{name} holds no finite number: there is nothing to draw")


def ascending(name: str, values: np.ndarray, *, positive: bool = False) -> None:
    """Raise ValueError unless the numbers are finite and each is above the one before it."""
    if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must be finite and ascending; got {_beginning(values)}")
    if positive and values[0] <= 0:
        raise ValueError(f"{name} must be greater than 0, for a logarithmic axis; got {values[0]:g}")


def _beginning(values: np.ndarray) -> str:
    return ", ".join(f"{x:g}" for x in values[:6]) + (", ..." if len(values) > 6 else "")
