"""The final loss over the learning rate, which shows how precisely the rate must be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gradtx.errors import finite, non_negative
from gradtx.plots.checking import array, ascending, entries, some_finite
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import (
    FAINT,
    QUIET,
    Look,
    axes,
    in_style,
    ink,
    log_axis,
    looks_of,
    many_decades,
)

CEILING = 30.0  # losses are shown up to so many times the distance of the median from the lowest, above the median
HOLDS = "(rates [n], losses [n, seeds])"
STRIP = 0.055  # of the height: the mark of one optimizer below the curves


class Basin(NamedTuple):
    """best: the best learning rate. low, high: the ends of the range around it with nearly the same loss."""

    best: float
    low: float
    high: float


def basin(rates: Any, losses: Any, *, within: float = 0.05, lower_bound: float = 0.0) -> Basin | None:
    """The range of neighbouring learning rates with a loss near the best one.

    The loss of a rate is the median of its seeds, infinite if it is not finite. Near means at most
    `best + within·(best - lower_bound)`.

    Args:
        rates: `[rates]`, ascending, greater than 0.
        losses: `[rates, seeds]`.
        within: a share; finite, at least 0.
        lower_bound: no loss is lower.

    Returns: a `Basin`; None if all rates diverged.
    Raises: ValueError: the shapes do not fit; a loss is below the lower bound.

    Example:
        >>> import gradtx
        >>> gradtx.plots.basin([0.01, 0.1, 1.0], [[1.04], [1.0], [3.0]])
        Basin(best=0.1, low=0.01, high=0.1)
    """
    return _basin("", *median_inputs("", rates, losses), within, lower_bound)


def basins(
    results: Mapping[str, Any],
    *,
    within: float = 0.05,
    lower_bound: float = 0.0,
    ylabel: str = "final loss",
    log: bool | None = None,
    ax: Any = None,
) -> Any:
    """Draw the final loss over the learning rate: the median of the seeds, and a band from the lowest to the highest.

    The bars below the curves are the rates near the best one; an arrow means that the bar ends with the rates that were
    tried. Crosses at the ceiling are rates with a median that diverged, or is far above all others.

    Args:
        results: label -> `(rates [n], losses [n, seeds])`; the rates ascend.
        within: the share above the best loss that counts as near, see `basin`; finite, at least 0.
        lower_bound: no loss is lower.
        ylabel: of the loss, with its unit.
        log: a logarithmic axis for losses; None: if all are positive and differ by more than a factor of 20.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: ValueError, TypeError: the shapes do not fit; no loss is finite; a loss is below the lower bound.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> rates = [0.01, 0.1, 1.0]
        >>> losses = [[2.0, 2.1], [1.0, 1.1], [float("nan"), 9.0]]
        >>> ax = gradtx.plots.basins({"adam": (rates, losses)}, ax=Figure().subplots())
    """
    non_negative(within=within)
    finite(lower_bound=lower_bound)
    given = entries("results", results, HOLDS)
    for label, pair in given.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"the results of {label!r} must be (rates [n], losses [n, seeds]); got {type(pair).__name__}"
            )
    found = {label: median_inputs(f"of {label!r}", *pair) for label, pair in given.items()}
    everything = np.concatenate([losses.ravel() for _, losses in found.values()])
    some_finite("results", everything)
    good = everything[np.isfinite(everything)]
    low, middle = float(good.min()), float(np.median(good))
    high = float(good[good <= middle + CEILING * (middle - low)].max())
    log = low > 0 and many_decades(good[good <= high]) if log is None else log
    if log and low <= 0:
        raise ValueError(f"log: every loss must be positive; the lowest is {low:g}: give log=False")
    with in_style():
        ax = axes(ax)
        log_axis(ax, "x")
        every = np.concatenate([rates for rates, _ in found.values()])
        room = (every.max() / every.min()) ** 0.06 if every.max() > every.min() else 2.0
        bottom, ceiling = _limits(ax, low, high, log, len(found))
        ax.set(xlim=(every.min() / room, every.max() * room), ylim=(bottom, ceiling))
        ax.set(xlabel="learning rate", ylabel=ylabel)
        ax.grid(axis="y", color=FAINT)
        ends = []
        for k, (label, look) in enumerate(zip(found, looks_of(len(found)), strict=True)):
            rates, losses = found[label]
            ends.append(_curve(ax, label, look, rates, losses, ceiling))
            near = _basin(f"of {label!r}", rates, losses, within, lower_bound)
            if near is not None:
                _bar(ax, near, rates, look, STRIP * (len(found) - k))
        if not log:  # the scale of losses does not extend to the bars
            ax.set_yticks([tick for tick in ax.get_yticks() if low - 1e-9 * abs(low) <= tick <= ceiling])
            ax.spines["left"].set_bounds(low, ceiling)
        words = f"bars: within {100 * within:g} % of the best; ×: diverged, or off the scale"
        ax.set_title(words, fontsize="small", color=QUIET)
        label_ends(ax, ends)
    return ax


def median_inputs(whose: str, rates: Any, losses: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rates, and the losses with infinity for what is not finite, so that medians count it; checked."""
    rates = array(f"rates {whose}".strip(), rates, "n")
    ascending(f"rates {whose}".strip(), rates, positive=True)
    losses = array(f"losses {whose}".strip(), losses, len(rates), "seeds")
    return rates, np.where(np.isfinite(losses), losses, np.inf)


def _basin(whose: str, rates: np.ndarray, losses: np.ndarray, within: float, lower_bound: float) -> Basin | None:
    middle = np.median(losses, axis=1)
    best = int(np.argmin(middle))
    if not np.isfinite(middle[best]):
        return None
    if middle[best] < lower_bound:
        raise ValueError(
            f"the best loss {whose}".strip() + f" is {middle[best]:g}, below lower_bound={lower_bound:g}: give a bound "
            f"that no loss is below"
        )
    near = middle <= middle[best] + within * (middle[best] - lower_bound)
    low = high = best
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(near) - 1 and near[high + 1]:
        high += 1
    return Basin(float(rates[best]), float(rates[low]), float(rates[high]))


def _limits(ax: Any, low: float, high: float, log: bool, bars: int) -> tuple[float, float]:
    """The limits of the axis: a ceiling above the highest loss, and room for the bars at the bottom."""
    share = STRIP * (bars + 1)
    if log:
        log_axis(ax, "y")
        extent = max(np.log(high / low), 0.2)
        return low * np.exp(-extent * share / (1 - share)), high * np.exp(0.1 * extent)
    extent = (high - low) or 0.5 * abs(high) or 1.0
    return low - extent * share / (1 - share), high + 0.1 * extent


def _curve(ax: Any, label: str, look: Look, rates: np.ndarray, losses: np.ndarray, ceiling: float) -> End:
    """Draw one optimizer; returns the end of its line."""
    middle = np.median(losses, axis=1)
    gone = middle > ceiling
    if losses.shape[1] > 1:
        edges = [np.minimum(edge, ceiling) for edge in (losses.min(axis=1), losses.max(axis=1))]
        ax.fill_between(rates, *edges, where=~gone, color=look.color, alpha=0.18, linewidth=0, zorder=2)
    beside = ~(np.pad(gone, 1, mode="edge")[:-2] & np.pad(gone, 1, mode="edge")[2:])
    line = np.where(gone, np.where(beside, ceiling, np.nan), middle)  # up to the ceiling, not along it
    ax.plot(rates, line, color=look.color, linestyle=look.dash, label=label, zorder=3)
    ax.plot(rates[~gone], middle[~gone], look.marker, color=look.color, label="_finite", zorder=3)
    if gone.any():
        cross = {"marker": "x", "markersize": 6.5, "markeredgewidth": 1.6, "linestyle": "none", "clip_on": False}
        ax.plot(rates[gone], np.full(gone.sum(), ceiling), color=look.color, label="_diverged", zorder=5, **cross)
    return End(float(min(middle[-1], ceiling)), label, look.color, at=float(rates[-1]))


def _bar(ax: Any, near: Basin, rates: np.ndarray, look: Look, height: float) -> None:
    """Mark the range near the best: a thick line, a ring at the best rate, arrows at the last rates that were tried."""
    where = {"transform": ax.get_xaxis_transform(), "color": look.color, "zorder": 4}
    ax.plot([near.low, near.high], [height, height], "-", linewidth=3.0, solid_capstyle="round", label="_near", **where)
    ring = {"marker": look.marker, "markersize": 6, "markerfacecolor": "white", "linestyle": "none"}
    ax.plot([near.best], [height], label="_best", **{**where, **ring, "zorder": 5})
    for edge, end, arrow, side in ((near.low, rates[0], "←", -1), (near.high, rates[-1], "→", 1)):
        if edge == end:
            how = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "va": "center", "ha": "center"}
            ax.annotate(arrow, (edge, height), (8.5 * side, 0), color=ink(look.color), annotation_clip=False, **how)
