"""The pictures of a report, drawn by `gradtx.plots`, and what they show in words for those who do not see them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradtx import plots
from gradtx.apps.race.measures import Standing, final_gaps, gaps, good_enough, median_decades, standings, start_gap
from gradtx.apps.race.overall import RESOLUTION, board, one_of_each, share_within
from gradtx.apps.race.results import Results
from gradtx.apps.race.tables import rate_at
from gradtx.apps.race.task import TaskInfo
from gradtx.apps.race.words import gap, number
from gradtx.plots.curves import quantiles
from gradtx.plots.heat import write_in_cells
from gradtx.plots.profiles import performance_ratios
from gradtx.plots.style import SEQUENTIAL, in_style, many_decades

MANY_SEEDS = 8  # with as many, the band is the middle half of the seeds; with fewer, all of them
NAMED = 14  # profiles; more names would not fit
SLOWEST = 16.0  # times the fewest steps: anything slower has the brightest colour

RACE = (
    "A panel for each optimizer at its best rate, with its final score above. Line: the median of the seeds; band: all "
    "seeds, or the middle half if there are eight and more; grey: the other optimizers; dashes: the target. A line "
    "below the axis runs along it."
)
BASINS = (
    "Final score of each optimizer over the learning rate: the median of the seeds, the darker the lower. Ring: the "
    "best rate; bar: the good rates, at the target or within 5% of the best of all; hatched: diverged."
)
SUMMARY = (
    "Steps to the target, each optimizer at its fastest rate: 1 is the fewest on the task, a dash: never reached, "
    "empty: not raced. Right: decades of good learning rates, the median over the tasks that count. A rate is good if "
    "it ends at the target, or within 5% of the best of all; ≥: an end of the range is good, and there may be more."
)
PROFILES = (
    "For each optimizer the share of the tasks on which it needs at most so many times the steps of the fastest, or "
    f"ends at most so many times above the best. Higher is better. The {NAMED} highest have names, the others are grey."
)


def race(results: Results, task: TaskInfo) -> Any:
    """Draw the scores over the steps: a panel for each optimizer, best first, with all others in grey."""
    found = _found(results, task)
    low, high, log = _range(results, task, found)
    shown = []
    for s in found:
        title = f"{s.cell.optimizer}: {gap(s.final.median)}"
        lines = {} if s.best is None else {"": gaps(s.cell, task.lower_bound)[s.best]}
        note = "at every rate" if s.best is None else f"rate {rate_at(s, s.best)}"
        shown.append(plots.Panel(title, lines, note=note))
    seeds = max(s.cell.scores.shape[1] for s in found)
    limits = (0.6 * low, 3 * high) if log else (low - 0.08 * (high - low), high + 0.2 * (high - low))
    how: Any = {"target": task.target - task.lower_bound, "spread": 0.5 if seeds >= MANY_SEEDS else 1.0}
    return plots.panels(shown, found[0].cell.at, ylim=limits, log=log, ylabel=_score(task), **how)


def basins(results: Results, task: TaskInfo) -> Any:
    """Draw the final score at each learning rate: a strip for each optimizer, the best at the top."""
    found = _found(results, task)
    strips = {s.cell.optimizer: (s.cell.rates, gaps(s.cell, task.lower_bound)[:, :, -1]) for s in found}
    best = {s.cell.optimizer: float(s.cell.rates[s.best]) for s in found if s.best is not None}
    low, high, log = _range(results, task, found)
    enough, label = _enough(results, task), f"{_score(task)} at the end"
    return plots.basin_strips(strips, enough=enough, best=best, limits=(low, high), log=log, label=label)


def profile(results: Results) -> Any:
    """Draw the performance profiles of steps to the target and of final scores; None for fewer than two optimizers."""
    b = board(results)
    if len(b.optimizers) < 2:
        return None
    with in_style():
        from matplotlib.figure import Figure

        figure = Figure((8.6, 4.0), layout="constrained")
        axes = figure.subplots(1, 2)
        for ax, costs, what, limit in zip(
            axes, (b.steps, b.finals), ("steps to target", "final score"), (16.0, 1e4), strict=True
        ):
            behind = np.minimum(np.log(performance_ratios(costs)), math.log(limit)).mean(axis=1)
            named = [b.optimizers[i] for i in np.argsort(behind, kind="stable")[:NAMED]]
            table = dict(zip(b.optimizers, costs, strict=True))
            plots.performance_profile(table, limit=limit, what=what, named=named, ax=ax)
            ax.set_ylabel("share of the tasks")
    return figure


def summary(results: Results) -> Any:
    """Draw one picture of the whole race: steps to each target as a multiple of the fewest, and widths of good rates.

    Returns: a matplotlib Figure, 8 inches wide: at 100 dots per inch it fits a README.
    Raises: ValueError: nothing ran.
    """
    tasks = [t for t in results.tasks if any(c.task == t.name for c in results.cells)]
    if not tasks:
        raise ValueError("nothing ran in this race: there is nothing to draw")
    every = [one_of_each(standings(results, t)) for t in tasks]
    counted = [table for t, table in zip(tasks, every, strict=True) if t.counted] or every
    names = _ordered(every, counted)
    steps = np.array([[table[name].steps if name in table else math.nan for table in every] for name in names])
    with in_style():
        from matplotlib.figure import Figure

        figure = Figure((8.0, 0.24 * len(names) + 1.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[4.6, 1], sharey=True)
        _matrix(left, steps, names, [t.name.replace("_", " ") for t in tasks])
        for row, name in enumerate(names):
            those = [table[name] for table in counted if name in table]
            if those:
                width, more = median_decades(np.array([s.decades for s in those]), np.array([s.open for s in those]))
                right.barh(row, width, height=0.62, color="0.45")
                words, beside = ("≥ " if more else "") + f"{width:.1f}", {"textcoords": "offset points", "size": 7.5}
                right.annotate(words, (width, row), (3, 0), va="center", **beside)
        right.set(xlim=(0, 1.35 * max(right.get_xlim()[1], 0.1)), xlabel="decades", title="Good rates")
        right.tick_params(axis="y", length=0, labelleft=False)
        right.spines["left"].set_visible(False)
        left.set_title("Steps to the target, as a multiple of the fewest")
    return figure


def about_race(results: Results, task: TaskInfo) -> str:
    """What `race` shows."""
    found = _found(results, task)
    ends = ", ".join(f"{s.cell.optimizer} at {gap(s.final.median)}" for s in found)
    return (
        f"Score over {task.steps:,} steps on {task.name}, a panel for each optimizer. All begin at "
        f"{number(start_gap(results, task))}; they end, best first: {ends}. "
        f"{sum(math.isfinite(s.steps) for s in found)} of {len(found)} reach the target, "
        f"{number(task.target - task.lower_bound)}, at one rate or another."
    )


def about_basins(results: Results, task: TaskInfo) -> str:
    """What `basins` shows."""
    found = _found(results, task)
    enough, parts = _enough(results, task), []
    for s in found:
        good = s.cell.rates[final_gaps(s.cell, task.lower_bound) <= enough]
        between = "good there alone" if len(good) else "no good rate"
        if len(good) > 1:
            between = f"good from {number(float(good[0]))} to {number(float(good[-1]))}"
        best = "diverged at every rate" if s.best is None else f"best at {rate_at(s, s.best)}, {between}"
        parts.append(f"{s.cell.optimizer}, {best}")
    return f"Final score on {task.name} over the learning rate, a strip for each optimizer: {'; '.join(parts)}."


def about_profile(results: Results) -> str:
    """What `profile` shows."""
    b = board(results)
    first, ever = share_within(1.0, b.steps), share_within(math.inf, b.steps)
    order = sorted(range(len(b.optimizers)), key=lambda i: (-ever[i], -first[i], b.optimizers[i]))
    parts = ", ".join(f"{b.optimizers[i]} {first[i]:.0%} and {ever[i]:.0%}" for i in order)
    return (
        f"Performance profiles over {len(b.tasks)} tasks, of steps to the target at the left and of final scores at "
        f"the right. Share of tasks on which each is first, and reaches the target at all: {parts}."
    )


def about_summary(results: Results) -> str:
    """What `summary` shows."""
    parts = []
    for task in results.tasks:
        found = _found(results, task)
        least = min((s.steps for s in found), default=math.inf)
        first = ", ".join(s.cell.optimizer for s in found if s.steps == least) if math.isfinite(least) else "nobody"
        parts.append(f"{task.name}, {first}")
    return f"Steps to the target of every optimizer on every task. Those that need the fewest: {'; '.join(parts)}."


def _found(results: Results, task: TaskInfo) -> list[Standing]:
    return list(one_of_each(standings(results, task)).values())


def _enough(results: Results, task: TaskInfo) -> float:
    return good_enough(task, standings(results, task)[0].final.median)


def _range(results: Results, task: TaskInfo, found: list[Standing]) -> tuple[float, float, bool]:
    """The scores to show, from the lowest, or what float32 resolves, to the start or the target; whether by ratio."""
    target, start = task.target - task.lower_bound, start_gap(results, task)
    every = [quantiles(gaps(s.cell, task.lower_bound)[s.best], 1.0)[1] for s in found if s.best is not None]
    finite = np.concatenate([*every, [target]])
    finite = finite[np.isfinite(finite)]
    high = max(start if math.isfinite(start) else float(finite.max()), target) or 1.0
    low = max(min(float(finite.min()), high), RESOLUTION * high)
    log = many_decades(np.append(finite[finite <= high], [low, high]))
    return low, high if high > low else 2 * low, log


def _score(task: TaskInfo) -> str:
    return task.unit if task.lower_bound == 0 else f"{task.unit}, above {number(task.lower_bound)}"


def _ordered(every: list[dict[str, Standing]], counted: list[dict[str, Standing]]) -> list[str]:
    """All optimizers, by the share of the counted tasks on which they reach the target, then by speed."""
    names = list(dict.fromkeys(name for table in every for name in table))
    costs = np.array([[table[name].steps if name in table else math.nan for table in counted] for name in names])
    slowness = performance_ratios(np.where(np.isnan(costs), np.inf, costs))
    ran = np.maximum((~np.isnan(costs)).sum(axis=1), 1)
    reached, speed = np.isfinite(costs).sum(axis=1) / ran, (1 / slowness).sum(axis=1) / ran
    return [names[i] for i in sorted(range(len(names)), key=lambda i: (-reached[i], -speed[i], names[i]))]


def _matrix(ax: Any, steps: np.ndarray, names: list[str], tasks: list[str]) -> None:
    times, solved = performance_ratios(np.where(np.isnan(steps), np.inf, steps)), np.isfinite(steps)
    shade = np.ma.masked_where(~solved, np.log(np.minimum(times, SLOWEST)))
    edges = np.arange(len(tasks) + 1) - 0.5, np.arange(len(names) + 1) - 0.5
    how = {"vmin": 0.0, "vmax": math.log(SLOWEST), "edgecolors": "white", "linewidth": 1.0}
    image = ax.pcolormesh(*edges, shade, cmap=SEQUENTIAL, **how)
    words = np.where(solved, [[_multiple(x) for x in row] for row in times], "–")
    write_in_cells(ax, image, np.where(np.isnan(steps), "", words), fontsize=7.5)
    ax.set_yticks(range(len(names)), names)
    ax.set_xticks(range(len(tasks)), tasks, rotation=35, ha="right")
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _multiple(x: float) -> str:
    """`1`, `2.3`, `12`; infinity if another one begins at the target."""
    return "∞" if math.isinf(x) else f"{x:.2g}" if x < 10 else f"{x:,.0f}"
