"""The final loss over the learning rate as strips, for many optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtx.plots.basins import HOLDS, median_inputs
from gradtx.plots.checking import entries
from gradtx.plots.style import SEQUENTIAL, color_scale, in_style, log_axis, many_decades


def basin_strips(
    results: Mapping[str, Any],
    *,
    enough: float | None = None,
    best: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    log: bool | None = None,
    label: str = "final loss",
    ax: Any = None,
) -> Any:
    """Draw the final loss over the learning rate as strips, for many optimizers: the darker, the lower.

    Each field is the median of the seeds; it is hatched if that is not finite.

    Args:
        results: label -> `(rates [n], losses [n, seeds])`; the rates ascend. The first is at the top.
        enough: rates whose median is at most this are marked with a bar; None: no bars.
        best: label -> the rate to mark with a ring; None: the rate with the lowest median.
        limits: the ends of the colours; None: the lowest and the highest finite median.
        log: a logarithmic scale of colours; None: if no median is negative and they differ by more than a factor of 20.
        label: of the scale, with the unit of the loss.
        ax: the matplotlib Axes to draw in; None: those of a new figure.

    Returns: the Figure.
    Raises: ValueError, TypeError: the shapes do not fit.

    Example:
        >>> import gradtx
        >>> strips = {"adam": ([0.01, 0.1, 1.0], [[2.0], [1.0], [float("nan")]])}
        >>> figure = gradtx.plots.basin_strips(strips, enough=1.5)
    """
    found = {label: median_inputs(f"of {label!r}", *pair) for label, pair in entries("results", results, HOLDS).items()}
    middles = {label: np.median(losses, axis=1) for label, (_, losses) in found.items()}
    every = np.concatenate(list(middles.values()))
    finite = every[np.isfinite(every)]
    low, high = limits or ((finite.min(), finite.max()) if len(finite) else (0.0, 1.0))
    with in_style():
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.figure import Figure

        if ax is None:
            ax = Figure((8.3, 0.235 * max(len(found), 5) + 0.75), layout="constrained").subplots()
        norm = LogNorm if (many_decades(finite) if log is None else log) else Normalize
        scale = ScalarMappable(norm(low, high), SEQUENTIAL)
        for row, (name, (rates, _)) in enumerate(found.items()):
            ring = best.get(name) if best is not None else rates[np.argmin(middles[name])]
            _strip(ax, row, rates, middles[name], scale, enough, ring if np.isfinite(middles[name]).any() else None)
        log_axis(ax, "x")
        ends = np.concatenate([_fields(rates)[[0, -1]] for rates, _ in found.values()])
        ax.set(xlim=(ends.min(), ends.max()), ylim=(len(found) - 0.45, -0.55), xlabel="learning rate")
        ax.set_yticks(range(len(found)), list(found))
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        color_scale(ax, scale, label, extend="both", aspect=4 + len(found), pad=0.02)
    return ax.figure


def _strip(ax: Any, row: int, rates: Any, middle: Any, scale: Any, enough: float | None, ring: float | None) -> None:
    """The strip of one optimizer: a field for each rate, up to the middle between it and its neighbours."""
    edges, top, bottom, gone = _fields(rates), row - 0.4, row + 0.4, ~np.isfinite(middle)
    shown = np.clip(np.where(gone, scale.norm.vmax, middle), scale.norm.vmin, scale.norm.vmax)
    fields = {"cmap": scale.cmap, "norm": scale.norm, "edgecolors": "white", "linewidth": 0.3}
    ax.pcolormesh(edges, [top, bottom], np.ma.masked_array(shown, gone)[None], **fields)
    for i in np.flatnonzero(gone):
        ax.fill_between(edges[i : i + 2], top, bottom, facecolor="none", edgecolor="0.6", hatch="////", linewidth=0)
    for i in np.flatnonzero(middle <= enough) if enough is not None else ():
        line = {"color": "black", "linewidth": 2.4, "linestyle": "-", "solid_capstyle": "butt"}
        ax.plot(edges[i : i + 2], [bottom, bottom], zorder=3, **line)
    if ring is not None:
        mark = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": "black"}
        ax.plot(ring, row, zorder=4, linestyle="none", **mark)


def _fields(rates: np.ndarray) -> np.ndarray:
    """Where the fields of rates meet: at geometric middles; the outer fields extend as far as on their other side."""
    middles = np.sqrt(rates[1:] * rates[:-1])
    first, last = (middles[0] / rates[0], rates[-1] / middles[-1]) if len(rates) > 1 else (2.0, 2.0)
    return np.concatenate([[rates[0] / first], middles, [rates[-1] * last]])
