"""Many optimizers, a panel each, with all the others in grey behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradtx.plots.curves import quantiles
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import DASHES, FAINT, count_axis, grid_of, in_style, log_axis, shades

LEFT, RIGHT, BOTTOM, TOP = 0.66, 0.1, 0.5, 0.42  # margins, in inches
BESIDE, GAP = 0.62, (0.26, 0.52)  # room for the labels right of a panel; gaps between panels; in inches
POINTS = 26  # of a grey line
LINE, BAND, OTHERS = "0.05", "#7ba6cf", "0.84"


class Panel(NamedTuple):
    """One panel.

    title: above it. lines: label -> `[seeds, n]`; several lines go from dark to bright, and have their labels at their
    right ends. best: the label of the line that is bold here, and grey in all other panels. note: small, above right;
    without lines, in the middle.
    """

    title: str
    lines: dict[str, np.ndarray]
    best: str = ""
    note: str = ""


def panels(
    shown: Sequence[Panel],
    at: Any,
    *,
    ylim: tuple[float, float],
    log: bool,
    xlabel: str = "step",
    ylabel: str = "loss",
    target: float | None = None,
    spread: float = 1.0,
    size: tuple[float, float] | None = None,
    columns: Iterable[int] = (3, 4, 5),
    width: float = 8.3,
    caption: str = "",
) -> Any:
    """Draw a panel for each optimizer: the median of the seeds as a line, and a band for their spread.

    A line that leaves the limits below runs along the axis; one that leaves them above, or diverges, ends there.

    Args:
        shown: the panels, in reading order.
        at: `[n]`, ascending: the steps or epochs of the points of all lines.
        ylim: limits of the vertical axis, the same for all panels.
        log: whether that axis is logarithmic.
        xlabel, ylabel: what is measured, with its unit.
        target: a loss to be reached, drawn as a dashed line.
        spread: the share of the seeds within the band; in [0, 1]; 1: from the lowest to the highest.
        size: of a panel, in inches; None: as wide as `width` allows, and 0.9 high.
        columns: how many panels there may be in a row.
        width: of the figure, in inches, if `size` is None.
        caption: lines above all panels.

    Returns: a new matplotlib Figure.
    Raises: MissingExtraError: matplotlib is not installed.

    Example:
        >>> import gradtx, numpy as np
        >>> runs = {"fast": [[9.0, 2.0, 1.0]], "slow": [[9.0, 8.0, 6.0]]}
        >>> shown = [gradtx.plots.Panel(k, {k: np.array(v)}, best=k) for k, v in runs.items()]
        >>> figure = gradtx.plots.panels(shown, [0, 10, 20], ylim=(0.0, 10.0), log=False)
        >>> len(figure.axes)
        2
    """
    at = np.asarray(at)
    with in_style():
        from matplotlib.figure import Figure

        rows, n = grid_of(len(shown), columns)
        labelled = any(len(panel.lines) > 1 for panel in shown)
        right, across = (BESIDE + RIGHT, GAP[0] + BESIDE) if labelled else (RIGHT, GAP[0])
        w, h = size or ((width - LEFT - right + across) / n - across, 0.9)
        top = TOP + 0.17 * len(caption.splitlines())
        width, height = LEFT + n * (w + across) - across + right, top + rows * (h + GAP[1]) - GAP[1] + BOTTOM
        figure = Figure((width, height))
        figure.set_layout_engine("none")
        space = {"left": LEFT / width, "right": 1 - right / width, "bottom": BOTTOM / height, "top": 1 - top / height}
        grid = figure.add_gridspec(rows, n, wspace=across / w, hspace=GAP[1] / h, **space)
        for k, panel in enumerate(shown):
            ax = figure.add_subplot(grid[divmod(k, n)])
            others = [each.lines[each.best] for each in shown if each is not panel and each.lines]
            _draw(ax, panel, others, at, ylim, log, spread)
            if target is not None:
                ax.axhline(target, color="0.3", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
            ax.tick_params(labelbottom=k + n >= len(shown), labelleft=k % n == 0, labelsize=7.5)
        figure.text((LEFT + width - right) / 2 / width, 0.06 / height, xlabel, ha="center", va="bottom")
        figure.text(0.06 / width, (BOTTOM + height - top) / 2 / height, ylabel, rotation=90, ha="left", va="center")
        figure.text(0.06 / width, 1 - 0.08 / height, caption, ha="left", va="top", fontsize=8.5, linespacing=1.4)
    return figure


def _draw(ax: Any, panel: Panel, others: list[np.ndarray], at: Any, ylim: Any, log: bool, spread: float) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import NullLocator

    low, high = ylim[0], 2 * ylim[1] - ylim[0] * (not log)  # what is above leaves the panel, what is below does not
    few = np.unique(np.linspace(0, len(at) - 1, POINTS).round().astype(int))
    grey = [np.stack([at, np.clip(_band(runs, spread)[1], low, high)], axis=1)[few] for runs in others]
    ax.add_collection(LineCollection(grey, colors=OTHERS, linewidths=0.7, zorder=1), autolim=False)
    several, ends = len(panel.lines) > 1, []
    for k, ((label, runs), shade) in enumerate(zip(panel.lines.items(), shades(len(panel.lines)), strict=True)):
        below, middle, above = _band(runs, spread)
        if len(runs) > 1:
            band = {"color": shade if several else BAND, "alpha": 0.55, "linewidth": 0, "zorder": 2}
            ax.fill_between(at, np.clip(below, low, high), np.clip(above, low, high), **band)
        bold = label == panel.best
        look = {"color": shade if several else LINE, "linestyle": DASHES[k % len(DASHES)] if several else "-"}
        ax.plot(at, np.clip(middle, low, high), linewidth=(2.0 if bold else 1.1) if several else 1.5, zorder=3, **look)
        gone = "" if np.isfinite(middle[-1]) else " diverged"
        ends.append(End(float(middle[-1]), f"{label}{gone}", look["color"], bold))
    above = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    rise = 12 if panel.note and panel.lines else 3
    ax.annotate(panel.title, (0, 1), (0, rise), va="bottom", fontsize=8.2, fontweight="bold", **above)
    place = ((1, 1), (0, 2), "right", "bottom", 7) if panel.lines else ((0.5, 0.5), (0, 0), "center", "center", 8)
    ax.annotate(panel.note, *place[:2], ha=place[2], va=place[3], fontsize=place[4], color="0.3", **above)
    if log:
        log_axis(ax, "y")
        ax.yaxis.set_minor_locator(NullLocator())  # minor ticks would be most of an SVG file
    ax.set(ylim=ylim, xlim=(at[0], max(at[-1], at[0] + 1)))
    count_axis(ax.xaxis)
    ax.xaxis.get_major_locator().set_params(nbins=3 if not several else 4)
    ax.grid(axis="y", color=FAINT, linewidth=0.5)
    if several:
        label_ends(ax, ends, size=7.5)


def _band(runs: np.ndarray, spread: float) -> np.ndarray:
    """The lower edge of the band, the median and the upper edge, `[3, n]`."""
    return quantiles(np.where(np.isfinite(runs), runs, np.inf), spread)
