"""The distribution of effective learning rates over the steps, as `watch` counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradtx.plots.checking import array, ascending
from gradtx.plots.readings import places, step_axis, steps_of
from gradtx.plots.style import DASHES, QUIET, SEQUENTIAL, axes, color_scale, in_style

if TYPE_CHECKING:
    from gradtx.inspection.readings import Readings


def rate_histogram(readings: Readings, *, names: Any = None, ax: Any = None) -> Any:
    """Draw the distribution of the effective rates |update|/|gradient| of the entries at each step.

    The darker, the more entries. The lines are the 10%, 50% and 90% quantiles. The first and the last bin also hold the
    entries beyond them. A step without counts is hatched.

    Args:
        readings: from `gradtx.readings(state)`.
        names: the leaves or groups whose entries are counted together; None: all.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes, with the scale of shades at its right.
    Raises: ValueError: no steps, an unknown name, or no entry at all.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from matplotlib.figure import Figure
        >>> tx, w = gradtx.watch(gradtx.adam(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> _, state = tx.update(w, tx.init(w), w)
        >>> ax = gradtx.plots.rate_histogram(gradtx.readings(state), ax=Figure().subplots())
    """
    steps, chosen = steps_of(readings), places(readings, names)
    rates = array("rate_edges", readings.rate_edges, "b")
    ascending("rate_edges", rates, positive=True)
    edges = np.log10(rates)
    counts = array("rate_counts", readings.rate_counts, len(steps), len(readings.names), len(edges) - 1)
    counts = np.where(np.isfinite(counts), counts, 0.0)[:, chosen].sum(axis=1)
    total = counts.sum(axis=1, keepdims=True)
    if not total.any():
        raise ValueError("rate_counts holds no entry: there is nothing to draw")
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    with in_style():
        from matplotlib import ticker
        from matplotlib.colors import ListedColormap

        ax = axes(ax)
        sides = _sides(steps)
        ax.fill_between(sides[[0, -1]], edges[0], edges[-1], facecolor="white", edgecolor="0.8", hatch="////", zorder=0)
        empty = np.ma.masked_where(np.isnan(shares), np.zeros_like(shares))
        ax.pcolormesh(sides, edges, empty.T, cmap=ListedColormap(["white"]), zorder=1)
        shown = np.ma.masked_where(~(shares > 0), shares)
        image = ax.pcolormesh(sides, edges, shown.T, cmap=f"{SEQUENTIAL}_r", vmin=0, zorder=2)
        for share, dash, width in ((0.1, DASHES[1], 0.9), (0.5, DASHES[0], 1.5), (0.9, DASHES[1], 0.9)):
            at = _quantile(counts, edges, share)
            ax.plot(steps, at, color="white", linestyle="-", linewidth=width + 1.4, zorder=3, label="_rim")
            ax.plot(steps, at, color="black", linestyle=dash, linewidth=width, zorder=3, label=f"{share:.0%}")
        step_axis(ax, steps)
        filled = np.flatnonzero(counts.sum(axis=0))
        ax.set(xlim=sides[[0, -1]], ylim=(edges[max(filled[0] - 1, 0)], edges[min(filled[-1] + 2, len(edges) - 1)]))
        ax.yaxis.set_major_locator(ticker.MaxNLocator(7, integer=True))
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"$10^{{{x:g}}}$"))
        ax.set_ylabel("effective rate, |update| / |gradient|")
        ax.set_title("lines: 10 %, 50 % and 90 % of the entries", fontsize="small", color=QUIET)
        bar = color_scale(ax, image, "share of the entries")
        bar.ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    return ax


def _sides(steps: np.ndarray) -> np.ndarray:
    """The edges of columns that are centred at the steps."""
    if len(steps) == 1:
        return steps[0] + np.array([-0.5, 0.5])
    middle = 0.5 * (steps[:-1] + steps[1:])
    return np.concatenate([[2 * steps[0] - middle[0]], middle, [2 * steps[-1] - middle[-1]]])


def _quantile(counts: np.ndarray, edges: np.ndarray, share: float) -> np.ndarray:
    """The quantile of the entries at each step, interpolated within a bin; NaN for a step without entries."""
    out = np.full(len(counts), np.nan)
    for k, row in enumerate(counts):
        if row.any():
            below = np.concatenate([[0.0], np.cumsum(row)])
            i = int(np.searchsorted(below, share * below[-1], side="left"))
            i = max(i, 1)
            out[k] = edges[i - 1] + (edges[i] - edges[i - 1]) * (share * below[-1] - below[i - 1]) / row[i - 1]
    return out
