"""Performance profiles, which compare optimizers over many tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradtx.errors import finite
from gradtx.plots.checking import array, entries
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import FAINT, axes, in_style, looks_of


class Profile(NamedTuple):
    """factors: `[k]`, ascending, first 1. shares: label -> `[k]`, the share of the tasks solved within each factor.

    The last factor is infinite if a solved task is within no finite factor, because the least cost on it is 0.
    """

    factors: np.ndarray
    shares: dict[str, np.ndarray]


def profile(costs: Mapping[str, Any]) -> Profile:
    """The share of the tasks that each optimizer solves within a factor of the least cost.

        share(f) = |{tasks: cost <= f·(the least cost of all on this task)}| / |tasks|

    The factors are those at which a share changes. A task that nobody solves counts among the tasks. If the least cost
    is 0, other finite costs are within no finite factor of it, and count at infinity.

    Args:
        costs: label -> `[tasks]`, steps or seconds, at least 0, infinite if the task was not solved. All rows have the
            same tasks in the same order.

    Returns: a `Profile`.
    Raises: ValueError: NaN, a cost below 0, different numbers of tasks.
    Source: Dolan & Moré 2002, Benchmarking optimization software with performance profiles (arXiv:cs/0102001).

    Example:
        >>> import gradtx
        >>> factors, shares = gradtx.plots.profile({"adam": [10, 40], "sgd": [20, float("inf")]})
        >>> print(factors, shares["adam"], shares["sgd"])
        [1. 2.] [1. 1.] [0.  0.5]
    """
    rows = {k: array(f"the costs of {k!r}", v, "tasks") for k, v in entries("costs", costs, "[tasks]").items()}
    first = len(next(iter(rows.values())))
    for label, row in rows.items():
        if len(row) != first:
            raise ValueError(f"the costs of {label!r} are of {len(row)} tasks, those before of {first}")
        if np.isnan(row).any() or (row < 0).any():
            raise ValueError(f"the costs of {label!r} must be at least 0, and infinite for a task that was not solved")
    table = np.stack(list(rows.values()))
    ratios = performance_ratios(table)
    solved = np.isfinite(table)
    far = [np.inf] if (solved & np.isinf(ratios)).any() else []
    factors = np.concatenate([np.unique(np.append(ratios[np.isfinite(ratios)], 1.0)), far])
    within = ((r[None] <= factors[:, None]) & own[None] for r, own in zip(ratios, solved, strict=True))
    return Profile(factors, {k: each.mean(axis=1) for k, each in zip(rows, within, strict=True)})


def performance_ratios(costs: np.ndarray) -> np.ndarray:
    """The performance ratios: each cost relative to the least one of its task.

        r[s, p] = cost[s, p] / min over s of cost[s, p]        1 for the least cost, also if that is 0

    Args:
        costs: `[solvers, tasks]`, at least 0, infinite if the solver failed; without NaN.

    Returns: `[solvers, tasks]`, at least 1; infinite if the solver failed, or if only the least cost is 0.
    Source: as of `profile`.

    Example:
        >>> import numpy as np
        >>> performance_ratios(np.array([[10.0, 0.0], [20.0, 3.0], [np.inf, np.inf]]))
        array([[ 1.,  1.],
               [ 2., inf],
               [inf, inf]])
    """
    least, solved = np.min(costs, axis=0, initial=np.inf), np.isfinite(costs)
    ratios = np.full(costs.shape, np.inf)
    with np.errstate(over="ignore"):  # a ratio beyond float64 is infinite
        np.divide(costs, least, out=ratios, where=solved & (least > 0))
    ratios[solved & (costs == least)] = 1.0
    return ratios


def performance_profile(
    costs: Mapping[str, Any],
    *,
    limit: float | None = None,
    what: str = "cost",
    named: Collection[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the share of the tasks that each optimizer solves within a factor of the best one; see `profile`.

    The value at 1 is the share of tasks on which it is the best; the value at the right, if no limit cuts the axis, is
    the share that it solves at all. Costs within no finite factor of a cost of 0 are a step at the right end.

    Args:
        costs: label -> `[tasks]`, infinite if a task was not solved.
        limit: the greatest factor that is shown, above 1; None: the last at which something changes.
        what: the cost, for the axis: "steps", "seconds".
        named: the labels that have a colour and a name; the others are grey. None: all.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: ValueError: as `profile`; a limit that is not above 1.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> steps = {"adam": [10, 40], "sgd": [20, float("inf")]}
        >>> ax = gradtx.plots.performance_profile(steps, what="steps", ax=Figure().subplots())
    """
    factors, shares = profile(costs)
    if limit is not None:
        finite(limit=limit)
        if limit <= 1:
            raise ValueError(f"limit must be above 1; got {limit}")
    reached = np.isfinite(factors)
    right = max(factors[reached][-1] ** 1.08, 1.1) if limit is None else float(limit)
    factors = np.where(reached, factors, right if limit is None else 2 * max(right, factors[reached][-1]))
    with in_style():
        from matplotlib import ticker

        ax = axes(ax)
        ax.grid(axis="y", color=FAINT)
        ends = []
        x = np.append(factors, max(right, factors[-1]))
        those = [label for label in shares if named is None or label in named]
        for label in shares.keys() - {*those}:
            ax.step(x, np.append(shares[label], shares[label][-1]), where="post", color=FAINT, linewidth=0.8)
        for label, look in zip(those, looks_of(len(those)), strict=True):
            y = np.append(shares[label], shares[label][-1])
            ax.step(x, y, where="post", color=look.color, linestyle=look.dash, label=label, linewidth=1.8)
            ends.append(End(float(y[np.searchsorted(x, right, side="right") - 1]), label, look.color))
        ax.set_xscale("log", base=2)
        ax.set(xlim=(1, right), ylim=(-0.02, 1.02), xlabel=f"{what}, as a multiple of the best", ylabel="tasks solved")
        ticks = [x for x in (1, 1.2, 1.5, 2, 3, 4, 6) if x <= right] if right <= 8 else _every(right)
        ax.xaxis.set_major_locator(ticker.FixedLocator(ticks))
        ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}×"))
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
        label_ends(ax, ends)
    return ax


def _every(right: float) -> list[float]:
    """Powers of two up to a factor, at most eight of them."""
    most = int(np.log2(right))
    return [2.0**k for k in range(0, most + 1, -(-(most + 1) // 8))]
