"""Paths on the contours of a function of two variables, with the factors that scale their steps below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from gradtx.optional_imports import extra
from gradtx.plots.checking import array, entries
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import DASHES, QUIET, SEQUENTIAL, count_axis, halo, in_style, log_axis, many_decades, shades
from gradtx.plots.surface import GRID, contours, heights, require_function, require_limits, view
from gradtx.plots.trajectory import Trajectory

COLUMNS, POINTS, DOTS = 4, 2000, 120  # at most: panels in a row, points of a line, steps that are dots
RAMP = np.linspace(0.0, 0.92, 256)  # of the colours along time
NOTHING = "no scaling"


def trajectories(
    function: Callable[[Any], Any],
    paths: Mapping[str, Any],
    *,
    scalings: Mapping[str, Any] | None = None,
    limits: Any = None,
    scaling_name: str = "s",
    variable: str = "w",
    figure: Any = None,
) -> Any:
    """Draw paths on the contours of a function, dark at the start and bright at the end, a panel for each.

    A circle is the start, a diamond the end, a cross the last finite point of a path that diverged. Below a path
    are its scaling terms over the steps; the step axis has the colours of the path. For the levels of the contours see
    `gradtx.plots.surface.levels`.

    Args:
        function: `w -> scalar`, of an array of two numbers.
        paths: label -> `[n, 2]`, w after 0, 1, ... steps; or a `Trajectory`.
        scalings: label -> `[n, 2]`, the term that scales the steps of each coordinate, as `s` of RMSProp: an entry of
            the `states` of the `Trajectory`. The panel of a label without an entry says "no scaling".
        limits: ((left, right), (bottom, top)) of the contours; None: the extent of the paths, except points far above
            their starts.
        scaling_name: label of the axis of the scaling terms.
        variable: the name of w at the axes.
        figure: a matplotlib Figure to draw in; None: a new one of pyplot's, whose size fits the panels.

    Returns: the Figure.
    Raises: ValueError, TypeError: the shapes do not fit, the function has not two variables, or no number is finite.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> bowl = lambda w: 3 * w[0] ** 2 + 10 * w[1] ** 2
        >>> course = gradtx.plots.trajectory(gradtx.rmsprop(0.5), bowl, [-15.0, 20.0], steps=40)
        >>> terms = {"RMSProp": course.states["nu"]}
        >>> figure = gradtx.plots.trajectories(bowl, {"RMSProp": course}, scalings=terms, figure=Figure())
    """
    ways = {k: _path(k, v) for k, v in entries("paths", paths, "a path [n, 2]").items()}
    terms = _terms(scalings, ways)
    require_function(function, 2, jnp.result_type(float))
    (left, right), (bottom, top) = view(function, ways) if limits is None else require_limits(limits)
    grid = np.stack(np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)))
    surface = heights(function, np.moveaxis(grid, 0, -1))
    if not np.isfinite(surface).any():
        raise ValueError(f"function is nowhere finite within {left:g} to {right:g}, {bottom:g} to {top:g}")
    steps = max(len(way) for way in ways.values()) - 1
    with in_style():
        figure, surfaces, courses = _panels(len(ways), bool(terms), figure)
        for k, (label, way) in enumerate(ways.items()):
            ax = surfaces[k]
            contours(ax, grid, surface)
            _draw_path(ax, way, steps)
            ax.set(xlim=(left, right), ylim=(bottom, top), title=label, xlabel=f"${variable}_1$")
            ax.tick_params(labelleft=k % COLUMNS == 0)
            ax.locator_params(nbins=5)
            if k % COLUMNS == 0:
                ax.set_ylabel(f"${variable}_2$")
        if terms:
            _draw_courses(courses, ways, terms, steps, scaling_name, variable)
        else:
            _draw_key(figure, surfaces, steps)
    return figure


def _path(label: str, given: Any) -> np.ndarray:
    way = array(f"the path of {label!r}", given.path if isinstance(given, Trajectory) else given, "n", 2)
    if not np.isfinite(way[0]).all():
        raise ValueError(f"the path of {label!r} must be finite at its start; got {way[0]}")
    return way


def _terms(scalings: Mapping[str, Any] | None, ways: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if scalings is None:
        return {}
    given = entries("scalings", scalings, "scaling terms [n, 2]")
    for label in given:
        if label not in ways:
            raise ValueError(f"scalings has {label!r}, which is not a label of paths: {', '.join(map(repr, ways))}")
    return {k: array(f"the scaling of {k!r}", v, len(ways[k]), 2) for k, v in given.items()}


def _panels(n: int, below: bool, figure: Any) -> tuple[Any, list, list]:
    """The figure, the Axes of the paths, and the Axes below them, if any."""
    columns, rows = min(n, COLUMNS), -(-n // COLUMNS)
    if figure is None:
        with extra("plots"):
            from matplotlib import pyplot
        width = {1: 3.8, 2: 2.9}.get(columns, 2.1)
        figure = pyplot.figure(
            figsize=(width * columns + 0.4, rows * (0.95 * width + 1.35 * below) + (0.3 if below else 0.9))
        )
    ratios = [1.75, 1.0] * rows if below else [1.0] * rows
    grid = figure.add_gridspec(len(ratios), columns, height_ratios=ratios)
    kinds = 2 if below else 1
    first = [figure.add_subplot(grid[kinds * (k // COLUMNS), k % COLUMNS]) for k in range(n)]
    second = [figure.add_subplot(grid[kinds * (k // COLUMNS) + 1, k % COLUMNS]) for k in range(n)] if below else []
    return figure, first, second


def _ramp(steps: int) -> dict[str, Any]:
    """The colours of the steps, dark to bright; they change fastest at the start, where most happens."""
    import matplotlib
    from matplotlib.colors import ListedColormap, PowerNorm

    return {"cmap": ListedColormap(matplotlib.colormaps[SEQUENTIAL](RAMP)), "norm": PowerNorm(0.5, 0, max(steps, 1))}


def _colored(points: np.ndarray, at: np.ndarray, steps: int, **how: Any) -> Any:
    """A line with the colours of its steps."""
    from matplotlib.collections import LineCollection

    line = LineCollection(list(np.stack([points[:-1], points[1:]], axis=1)), **_ramp(steps), **how)
    line.set_array(0.5 * (at[:-1] + at[1:]))
    return line


def _draw_path(ax: Any, way: np.ndarray, steps: int) -> None:
    finite = np.isfinite(way).all(axis=1)
    length = len(way) if finite.all() else int(np.argmin(finite))
    at = np.unique(np.linspace(0, length - 1, min(length, POINTS)).astype(int))
    points = way[at]
    ax.plot(*points.T, "-", color="0.15", linewidth=2.4, solid_joinstyle="round", solid_capstyle="round", zorder=3)
    if len(at) > 1:
        ax.add_collection(_colored(points, at, steps, linewidth=1.6, capstyle="round", zorder=4), autolim=False)
    if length <= DOTS:
        ax.scatter(*points.T, c=at, s=9, edgecolors="0.15", linewidths=0.4, zorder=5, **_ramp(steps))
    mark = {"linestyle": "none", "markeredgecolor": "black", "markerfacecolor": "white", "zorder": 6}
    ax.plot(*way[0], marker="o", markersize=5.5, label="start", **mark)
    if length == len(way):
        ax.plot(*way[-1], marker="D", markersize=5.5, label="end", **mark)
        return
    ax.plot(
        *way[length - 1],
        marker="x",
        markersize=7,
        markeredgewidth=1.8,
        label="diverged",
        path_effects=halo(3.5),
        **mark,
    )
    said = f"diverged at step {length}"
    ax.annotate(
        said, (0.5, 0.03), xycoords="axes fraction", ha="center", fontsize="small", path_effects=halo(3.5), zorder=7
    )


def _draw_courses(courses: list, ways: Any, terms: dict, steps: int, scaling_name: str, variable: str) -> None:
    everything = np.concatenate([term.ravel() for term in terms.values()])
    log = many_decades(everything)
    shown = everything[np.isfinite(everything) & ((everything > 0) | (not log))]
    low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    for k, (ax, label) in enumerate(zip(courses, ways, strict=True)):
        if log:
            log_axis(ax, "y")
            spread = max((high / low) ** 0.06, 1.1)
            ax.set_ylim(low / spread, high * spread)
        else:
            ax.set_ylim(low - room, high + room)
        ax.set(xlim=(0, max(steps, 1)), xlabel="step")
        ax.tick_params(labelleft=k % COLUMNS == 0)
        if k % COLUMNS == 0:
            ax.set_ylabel(scaling_name)
        count_axis(ax.xaxis)
        edge = np.stack([np.linspace(0, 1, 129), np.zeros(129)], axis=1)
        how = {"transform": ax.transAxes, "linewidth": 4.0, "clip_on": False, "zorder": 6, "antialiased": False}
        ax.add_collection(_colored(edge, edge[:, 0] * steps, steps, **how), autolim=False)
        if label not in terms:
            ax.annotate(NOTHING, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=QUIET)
            continue
        colors, at = shades(2), np.unique(np.linspace(0, len(terms[label]) - 1, POINTS).astype(int))
        for i in range(2):
            ax.plot(at, terms[label][at, i], color=colors[i], linestyle=DASHES[i], label=f"${variable}_{i + 1}$")
        label_ends(ax, [End(terms[label][-1, i], f"${variable}_{i + 1}$", colors[i]) for i in range(2)])


def _draw_key(figure: Any, surfaces: list, steps: int) -> None:
    """A scale of the colours of the steps, for pictures without a step axis."""
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(**_ramp(steps)), ax=surfaces, location="bottom", aspect=60, label="step")
    bar.outline.set_visible(False)
    count_axis(bar.ax.xaxis)
