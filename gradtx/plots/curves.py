"""Several runs as a line and a band: losses over steps, or over seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradtx.errors import in_unit_interval
from gradtx.plots.checking import array, ascending, entries, some_finite
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import FAINT, QUIET, axes, count_axis, halo, in_style, log_axis, looks_of, many_decades

CEILING = 4.0  # losses are shown up to so many times the distance of the highest start from the lowest loss
MARKS = 7  # markers on a line


def races(
    curves: Mapping[str, Any],
    *,
    at: Any = None,
    xlabel: str = "step",
    ylabel: str = "loss",
    target: float | None = None,
    spread: float = 1.0,
    log: bool | None = None,
    ax: Any = None,
) -> Any:
    """Draw losses over steps or seconds for several optimizers: the median of the seeds, and a band for their spread.

    A loss that is not finite counts as infinite, in the median too. A line that leaves the picture at the top has its
    label there, with "diverged" if the last median is infinite.

    Args:
        curves: label -> `[seeds, n]`, the loss of each seed at each of n times.
        at: the times: None: 0, 1, ... n - 1; an array `[n]`; or label -> `[n]`, seconds for example. Ascending.
        xlabel, ylabel: what is measured, with its unit: "seconds", "loss (nats per example)".
        target: a loss to be reached, drawn as a line.
        spread: the share of the seeds within the band; in [0, 1]; 1: from the lowest to the highest.
        log: a logarithmic axis for losses, on which a loss of 0 leaves the picture below; None: if no loss is negative
            and they differ by more than a factor of 20.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: ValueError, TypeError: the shapes do not fit; no loss is finite; `log` if no loss is positive.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> losses = {"fast": [[9.0, 3.0, 1.0], [8.0, 2.0, 1.0]], "slow": [[9.0, 8.0, 7.0], [8.0, 7.0, 6.0]]}
        >>> ax = gradtx.plots.races(losses, at=[0, 10, 20], target=2.0, ax=Figure().subplots())
    """
    in_unit_interval(spread=spread)
    runs = {
        k: array(f"the curves of {k!r}", v, "seeds", "n") for k, v in entries("curves", curves, "[seeds, n]").items()
    }
    times = _times(at, runs)
    some_finite("curves", np.concatenate([run.ravel() for run in runs.values()]))
    runs = {k: np.where(np.isfinite(run), run, np.inf) for k, run in runs.items()}
    low, high = _range(runs)
    values = np.concatenate([run.ravel() for run in runs.values()])
    log = many_decades(values[values <= high]) if log is None else log
    if log and not (values[np.isfinite(values)] > 0).any():
        raise ValueError("log: no loss is positive; give log=False")
    floor = 0.1 * values[(values > 0) & np.isfinite(values)].min() if log else -np.inf  # a loss of 0 leaves below
    ceiling = high + 1e3 * ((high - low) or abs(high) or 1.0)
    with in_style():
        ax = axes(ax)
        ax.grid(axis="y", color=FAINT)
        ends = []
        for k, (label, look) in enumerate(zip(runs, looks_of(len(runs)), strict=True)):
            t, three = times[label], quantiles(runs[label], spread)
            bottom, shown, top = np.clip(three, floor, ceiling)
            if len(runs[label]) > 1:
                ax.fill_between(t, bottom, top, color=look.color, alpha=0.18, linewidth=0, zorder=2)
            every = max(len(t) // MARKS, 1)
            mark = {"marker": look.marker, "markevery": (k * every // len(runs), every), "zorder": 3}
            ax.plot(t, shown, color=look.color, linestyle=look.dash, label=label, **mark)
            gone = not np.isfinite(three[1, -1])
            ends.append(End(three[1, -1], f"{label}, diverged" if gone else label, look.color, at=float(t[-1])))
        _limit(ax, low, high, values, log)
        last = max(t[-1] for t in times.values())
        first = min(t[0] for t in times.values())
        ax.set(xlim=(first, last if last > first else first + 1.0), xlabel=xlabel, ylabel=ylabel)
        if at is None:
            count_axis(ax.xaxis)
        if target is not None:
            ax.axhline(target, color=QUIET, linewidth=0.9, zorder=1)
            word = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "fontsize": "small"}
            ax.annotate("target", (0.01, target), xytext=(0, 2), color=QUIET, path_effects=halo(), zorder=4, **word)
        label_ends(ax, ends)
    return ax


def _times(at: Any, runs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if isinstance(at, Mapping):
        missing = [label for label in runs if label not in at]
        if missing or len(at) != len(runs):
            raise ValueError(f"at must have the labels of curves, {', '.join(runs)}; it has {', '.join(map(str, at))}")
    found = {}
    for label, run in runs.items():
        n = run.shape[1]
        given = np.arange(n) if at is None else at[label] if isinstance(at, Mapping) else at
        name = f"at, for {label!r}," if isinstance(at, Mapping) else "at"
        found[label] = array(name, given, n)
        ascending(name, found[label])
    return found


def _range(runs: dict[str, np.ndarray]) -> tuple[float, float]:
    """The lowest loss and the highest to show, so that a diverging run does not make all others flat lines."""
    finite = np.concatenate([run[np.isfinite(run)] for run in runs.values()])
    starts = np.array([np.median(run[:, 0]) for run in runs.values()])
    start = starts[np.isfinite(starts)].max() if np.isfinite(starts).any() else finite.max()
    low = float(finite.min())
    return low, float(min(finite.max(), low + CEILING * (start - low) if start > low else finite.max()))


def quantiles(run: np.ndarray, spread: float) -> np.ndarray:
    """The band that holds this share of the seeds `[seeds, n]`: its lower edge, the median, its upper edge, `[3, n]`.

    Infinite losses are above all others; there is no NaN. A share of 1 is the range from the lowest to the highest.
    """
    ranks = np.sort(run, axis=0)
    at = (len(run) - 1) * np.array([0.5 - 0.5 * spread, 0.5, 0.5 + 0.5 * spread])
    below, above, part = ranks[np.floor(at).astype(int)], ranks[np.ceil(at).astype(int)], (at % 1)[:, None]
    between = np.where(np.isfinite(above), above, 0.0)
    mixed = (1 - part) * np.where(np.isfinite(below), below, 0.0) + part * between
    return np.where(np.isinf(below) | ((part > 0) & np.isinf(above)), np.inf, mixed)


def _limit(ax: Any, low: float, high: float, values: np.ndarray, log: bool) -> None:
    if log:
        log_axis(ax, "y")
        least = values[(values > 0) & np.isfinite(values)].min()
        ax.set_ylim(least / 1.3, max(high, least) * 1.3)
    else:
        room = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
        ax.set_ylim(low - room, high + room)
