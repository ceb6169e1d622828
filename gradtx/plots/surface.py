"""Functions of two variables: checks, and the contours to draw."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.values.arguments import show

EXAMPLE = "lambda w: 3 * w[0] ** 2 + 10 * w[1] ** 2"
RINGS, GRID = 14, 161  # contours; points along a side of the grid
MARGIN, ABOVE = 0.08, 4.0  # around the paths, relative to their extent; height above the start that is in view


def require_function(function: Any, variables: int, dtype: Any) -> None:
    """Raise unless this takes one array with this number of variables and returns one real number.

    Raises: TypeError: not a function, other arguments, or another result. ValueError: another number of variables.
    """
    if not callable(function):
        raise TypeError(f"function must take an array w and return a number, as {EXAMPLE}; got {show(function)}")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise TypeError(f"function must take one argument, the array w of its variables, as {EXAMPLE}") from None
    except ValueError:  # some builtins do not tell
        pass
    what = f"function must be of {variables} variables, w of shape ({variables},), as {EXAMPLE}"
    try:
        with np.errstate(all="ignore"):
            function(np.ones(variables, dtype))  # JAX answers w[2] of two with the last one; NumPy does not
    except IndexError as error:
        raise ValueError(f"{what}: {error}") from None
    except Exception:  # what NumPy cannot do, JAX may
        pass
    try:
        out = jax.eval_shape(function, jax.ShapeDtypeStruct((variables,), dtype))
    except ValueError as error:
        if "unpack" in str(error):
            raise ValueError(f"{what}: {error}") from None
        raise
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        got = f"an array of shape {out.shape}, {out.dtype}" if hasattr(out, "dtype") else type(out).__name__
        raise TypeError(f"function must return one real number; it returned {got}")


def heights(function: Callable, points: np.ndarray) -> np.ndarray:
    """The values of a function at points `[..., 2]`; NaN or infinite where it has none."""
    flat = jnp.asarray(points.reshape(-1, points.shape[-1]), float)
    return np.asarray(jax.jit(jax.vmap(function))(flat), np.float64).reshape(points.shape[:-1])


def levels(values: np.ndarray) -> np.ndarray:
    """The levels of n contours, ascending: a share of (k/n)² of all points is below the k-th.

    So the contours of a quadratic are equally far apart, and a flat valley between steep walls has some too. They do
    not change if a monotone function is applied to the values.
    """
    finite = values[np.isfinite(values)]
    found = np.unique(np.quantile(finite, (np.arange(1, RINGS + 1) / (RINGS + 1)) ** 2))
    return found[(found > finite.min()) & (found < finite.max())]


def view(function: Callable, paths: dict[str, np.ndarray]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits that show the paths, except points far above their starts; a diverging path leaves the picture."""
    points = np.concatenate([*(path[:1] for path in paths.values()), *paths.values()])
    points = points[np.isfinite(points).all(axis=1)]
    above = heights(function, points)
    top = above[: len(paths)].max()
    lowest = np.min(above[np.isfinite(above)], initial=top)
    highest = top + (ABOVE - 1) * (top - lowest) if np.isfinite(top) else top
    seen = np.concatenate([points[: len(paths)], points[above <= highest]])
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = np.maximum(high - low, 0.25 * max(*(high - low), 1e-6 * np.abs(seen).max(), 1e-30))
    middle = 0.5 * (low + high)
    (a, c), (b, d) = middle - (0.5 + MARGIN) * extent, middle + (0.5 + MARGIN) * extent
    return (float(a), float(b)), (float(c), float(d))


def require_limits(limits: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two pairs of finite, ascending numbers; ValueError for anything else."""
    try:
        (a, b), (c, d) = limits
        found = (float(a), float(b)), (float(c), float(d))
        fine = all(np.isfinite(pair).all() and pair[0] < pair[1] for pair in found)
    except (TypeError, ValueError):
        fine, found = False, None
    if not fine or found is None:
        raise ValueError(f"limits must be ((left, right), (bottom, top)), finite and ascending; got {limits!r}")
    return found


def contours(ax: Any, grid: np.ndarray, values: np.ndarray) -> None:
    """Draw grey contours; the lower, the darker."""
    at = levels(values)
    if not len(at):
        return
    shown = np.ma.masked_invalid(values)
    ax.contourf(*grid, shown, levels=at, colors=[str(g) for g in np.linspace(0.86, 0.99, len(at) + 1)], extend="both")
    ax.contour(*grid, shown, levels=at, colors="0.72", linewidths=0.5, linestyles="solid")
