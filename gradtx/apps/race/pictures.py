"""The pictures of one task: the race itself, a panel for each optimizer, and how well the rate must be chosen."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gradtx.apps.race.measures import Standing, final_gaps, gaps, good_enough, standings, start_gap
from gradtx.apps.race.overall import RESOLUTION, one_of_each
from gradtx.apps.race.results import Results, TaskInfo
from gradtx.apps.race.tables import gap, number
from gradtx.optional_imports import extra
from gradtx.plots.curves import quantiles

COLUMNS = 3, 4, 5  # of panels
WIDTH, PANEL, GAPS = 8.3, 1.42, (0.26, 0.52)  # of all; a panel's height with the gap below it; gaps; in inches
LEFT, RIGHT, BOTTOM, TOP = 0.66, 0.1, 0.5, 0.4  # margins, in inches
DARK, BAND, OTHERS = "0.05", "#7ba6cf", "0.84"
POINTS = 26  # of a grey line
MANY_SEEDS = 8  # with as many, the band is the middle half; with fewer, all of them

RACE = (
    "A panel for each optimizer at its best rate, the score it ends at above. Line: the median of the seeds; band: all "
    "of them, or the middle half where there are eight and more; grey: the others; dashes: the target. What is below "
    "the axis runs along it."
)
BASINS = (
    "Where each optimizer ends, over the learning rate: the median of the seeds, the darker the lower. Ring: the best "
    "rate; bar: the good ones, at the target or within 5% of the best of all; hatched: diverged."
)


def race(results: Results, task: TaskInfo) -> Any:
    """Draw how the score falls: a panel for each optimizer, best first, with all others in grey behind it.

    Args:
        results: of a race.
        task: one of its tasks, on which at least one optimizer ran.

    Returns:
        A matplotlib Figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with extra("plots"):
        from matplotlib.figure import Figure
    from gradtx.plots.style import grid_of, in_style

    found = list(one_of_each(standings(results, task)).values())
    shown = _shown(results, task, found)
    rows, columns = grid_of(len(found), COLUMNS)
    panel, height = (WIDTH - LEFT - RIGHT + GAPS[0]) / columns, PANEL * rows + BOTTOM + TOP - GAPS[1]
    with in_style():
        figure = _plain(Figure((WIDTH, height)))
        space = {"left": LEFT / WIDTH, "right": 1 - RIGHT / WIDTH, "bottom": BOTTOM / height, "top": 1 - TOP / height}
        between = {"wspace": GAPS[0] / (panel - GAPS[0]), "hspace": GAPS[1] / (PANEL - GAPS[1])}
        grid = figure.add_gridspec(rows, columns, **space, **between)
        for i, standing in enumerate(found):
            ax = figure.add_subplot(grid[divmod(i, columns)])
            _panel(ax, task, standing, found, shown)
            ax.tick_params(labelbottom=i + columns >= len(found), labelleft=i % columns == 0, labelsize=7.5)
        figure.text((1 + (LEFT - RIGHT) / WIDTH) / 2, 0.06 / height, "step", ha="center", va="bottom")
        figure.text(0.06 / WIDTH, 0.5, _score(task), rotation=90, ha="left", va="center")
    return figure


def basins(results: Results, task: TaskInfo) -> Any:
    """Draw where each optimizer ends at each of its rates: a strip for each, the best at the top.

    Args:
        results: of a race.
        task: one of its tasks, on which at least one optimizer ran.

    Returns:
        A matplotlib Figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with extra("plots"):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.figure import Figure
    from gradtx.plots.style import SEQUENTIAL, in_style, log_axis

    found = list(one_of_each(standings(results, task)).values())
    shown = _shown(results, task, found)
    enough = good_enough(task, min(s.final.median for s in standings(results, task)))
    with in_style():
        height = 0.235 * max(len(found), 5) + 0.62  # the key beside it needs as much
        figure = _plain(Figure((WIDTH, height)))
        ax = figure.add_axes((1.1 / WIDTH, 0.52 / height, 6.1 / WIDTH, 1 - 0.62 / height))
        key = figure.add_axes((7.35 / WIDTH, 0.52 / height, 0.16 / WIDTH, 1 - 0.62 / height))
        norm = (LogNorm if shown.log else Normalize)(shown.low, shown.high)
        scale = ScalarMappable(norm, SEQUENTIAL)
        for row, standing in enumerate(found):
            _strip(ax, row, standing, task, scale, enough)
        log_axis(ax, "x")
        edges = np.concatenate([_edges(s.cell.rates)[[0, -1]] for s in found])
        ax.set(xlim=(edges.min(), edges.max()), ylim=(len(found) - 0.45, -0.55), xlabel="learning rate")
        ax.set_yticks(range(len(found)), [s.cell.optimizer for s in found])
        ax.tick_params(axis="y", length=0)
        ax.spines[["left"]].set_visible(False)
        bar = figure.colorbar(scale, cax=key, extend="both", label=f"{_score(task)} at the end")
        bar.outline.set_visible(False)
    return figure


def _plain(figure: Any) -> Any:
    """A Figure whose Axes lie where they are put."""
    figure.set_layout_engine("none")
    return figure


class _Shown(NamedTuple):
    """Which scores are shown: from here to there, and whether by ratio."""

    low: float
    high: float
    log: bool


def _panel(ax: Any, task: TaskInfo, mine: Standing, found: list[Standing], shown: _Shown) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import NullLocator

    from gradtx.plots.style import FAINT, count_axis, log_axis

    low, high = (0.6 * shown.low, 3 * shown.high) if shown.log else _wider(shown.low, shown.high)
    others = [s for s in found if s is not mine and s.best is not None]
    lines = [_thinned(s.cell.at, np.clip(_band(s, task)[1], low, 2 * high)) for s in others]
    ax.add_collection(LineCollection(lines, colors=OTHERS, linewidths=0.7, zorder=1), autolim=False)
    if mine.best is None:
        ax.text(0.5, 0.5, "at every rate", transform=ax.transAxes, ha="center", va="center", fontsize=8)
    else:
        below, middle, above = np.clip(_band(mine, task), low, 2 * high)
        ax.fill_between(mine.cell.at, below, above, color=BAND, alpha=0.55, linewidth=0, zorder=2)
        ax.plot(mine.cell.at, middle, color=DARK, linewidth=1.5, linestyle="-", zorder=3)
        words = f"rate {number(float(mine.cell.rates[mine.best]))}"
        ax.text(1, 1.02, words, transform=ax.transAxes, ha="right", va="bottom", fontsize=7, color="0.3")
    words = f"{mine.cell.optimizer}: {gap(mine.final.median)}"
    ax.text(0, 1.14, words, transform=ax.transAxes, va="bottom", fontsize=8.2, fontweight="bold")
    ax.axhline(task.target - task.lower_bound, color="0.3", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    if shown.log:
        log_axis(ax, "y")
        ax.yaxis.set_minor_locator(NullLocator())  # ticks by the hundred: most of the file, and of the time
    ax.set(ylim=(low, high), xlim=(0, max(int(s.cell.at[-1]) for s in found) or 1))
    count_axis(ax.xaxis)
    ax.xaxis.get_major_locator().set_params(nbins=3)
    ax.grid(axis="y", color=FAINT, linewidth=0.5)


def _thinned(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A line with at most `POINTS` of its points, the first and the last among them: enough behind others."""
    kept = np.unique(np.linspace(0, len(at) - 1, POINTS).round().astype(int))
    return np.stack([at[kept], values[kept]], axis=1)


def _strip(ax: Any, row: int, s: Standing, task: TaskInfo, scale: Any, enough: float) -> None:
    """The strip of one optimizer: a field for each rate, which reaches half of the way to its neighbours."""
    ends, edges = final_gaps(s.cell, task.lower_bound), _edges(s.cell.rates)
    top, bottom = row - 0.4, row + 0.4
    gone, shown = ~np.isfinite(ends), scale.norm
    values = np.ma.masked_array(np.clip(np.where(gone, 1.0, ends), shown.vmin, shown.vmax), gone)
    fields = {"cmap": scale.cmap, "norm": shown, "edgecolors": "white", "linewidth": 0.3}
    ax.pcolormesh(edges, [top, bottom], values[None], **fields)
    for i in np.flatnonzero(gone):
        hatched = {"facecolor": "none", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}
        ax.fill_between(edges[i : i + 2], top, bottom, **hatched)
    for i in np.flatnonzero(ends <= enough):
        line = {"color": "black", "linewidth": 2.4, "linestyle": "-", "solid_capstyle": "butt"}
        ax.plot(edges[i : i + 2], [bottom, bottom], zorder=3, **line)
    if s.best is not None:
        ring = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": "black"}
        ax.plot(s.cell.rates[s.best], row, zorder=4, linestyle="none", **ring)


def _edges(rates: np.ndarray) -> np.ndarray:
    """Where the fields of rates meet, in the middle by ratio; those at the ends are as wide as to their neighbours."""
    middles = np.sqrt(rates[1:] * rates[:-1])
    first, last = (middles[0] / rates[0], rates[-1] / middles[-1]) if len(rates) > 1 else (2.0, 2.0)
    return np.concatenate([[rates[0] / first], middles, [rates[-1] * last]])


def _band(s: Standing, task: TaskInfo) -> np.ndarray:
    """The band's lower edge, the median and the band's upper edge, `[3, evaluations]`, at the best rate."""
    runs = gaps(s.cell, task.lower_bound)[s.best]
    return quantiles(runs, 0.5 if len(runs) >= MANY_SEEDS else 1.0)


def _shown(results: Results, task: TaskInfo, found: list[Standing]) -> _Shown:
    """From the lowest score, but not below what float32 resolves of the start, to the start or the target."""
    from gradtx.plots.style import many_decades

    target, start = task.target - task.lower_bound, start_gap(results, task)
    medians = [_band(s, task)[1] for s in found if s.best is not None]
    every = np.concatenate([*medians, [target]])
    every = every[np.isfinite(every)]
    high = max(start if math.isfinite(start) else float(every.max()), target) or 1.0
    low = max(min(float(every.min()), high), RESOLUTION * high)
    log = many_decades(np.append(every[every <= high], [low, high]))
    return _Shown(low, high if high > low else 2 * low, log)


def _wider(low: float, high: float) -> tuple[float, float]:
    return low - 0.08 * (high - low), high + 0.2 * (high - low)


def _score(task: TaskInfo) -> str:
    above = "" if task.lower_bound == 0 else f", above {number(task.lower_bound)}"
    return f"{task.unit}{above}"
