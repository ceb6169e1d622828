"""The pictures of a whole race: performance profiles, and one picture that says it all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradtx.apps.race.measures import Standing, median_decades, standings
from gradtx.apps.race.overall import board, one_of_each
from gradtx.apps.race.results import Results
from gradtx.optional_imports import extra
from gradtx.plots.profiles import performance_ratios

SLOWEST = 16.0  # times the fewest steps: what is slower has the brightest field

SUMMARY = (
    "Steps to the target, each optimizer at its fastest rate: 1 is the fewest on the task, a dash: never there, empty: "
    "not raced. Right: decades of good learning rates, the median over the tasks that count. A rate is good where it "
    "ends at the target, or within 5% of the best of all; ≥: an end of the range is good, and there may be more."
)
PROFILES = (
    "For each optimizer the share of the tasks on which it needs at most so many times the steps of the fastest, or "
    "ends at most so many times above the best. Higher is better."
)


def profile(results: Results) -> Any:
    """Draw the performance profiles of steps to target and of the final score; None where there is nothing to compare.

    Args:
        results: of a race.

    Returns:
        A matplotlib Figure, or None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with extra("plots"):
        from matplotlib.figure import Figure
    from gradtx.plots.profiles import performance_profile
    from gradtx.plots.style import in_style

    b = board(results)
    if len(b.optimizers) < 2:
        return None
    with in_style():
        figure = Figure((8.6, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for ax, costs, what, limit in ((left, b.steps, "steps to target", 16.0), (right, b.finals, "final score", 1e4)):
            performance_profile(dict(zip(b.optimizers, costs, strict=True)), limit=limit, what=what, ax=ax)
            ax.set_ylabel("share of the tasks")
    return figure


def summary(results: Results) -> Any:
    """Draw one picture of the whole race: who reaches which target, how fast, and how wide the good rates are.

    A field for each optimizer and task has how many times the fewest steps of any optimizer it takes to the target;
    the darker, the faster. At the right, the decades of learning rate that are good, median over tasks.

    Args:
        results: of a race in which something ran.

    Returns:
        A matplotlib Figure, 8 inches wide: at 100 dots an inch it fits a README.

    Raises:
        MissingExtraError: matplotlib is not installed. ValueError: nothing ran.
    """
    with extra("plots"):
        from matplotlib.figure import Figure
    from gradtx.plots.style import in_style

    tasks = [t for t in results.tasks if any(c.task == t.name for c in results.cells)]
    if not tasks:
        raise ValueError("nothing ran in this race: there is nothing to draw")
    table = {t.name: one_of_each(standings(results, t)) for t in tasks}
    counted = [table[t.name] for t in tasks if t.counted] or list(table.values())
    names = _ordered(list(table.values()), counted)
    steps = np.array([[_steps(table[t.name].get(name)) for t in tasks] for name in names])
    widths = [_width([each[name] for each in counted if name in each]) for name in names]
    with in_style():
        figure = Figure((8.0, 0.24 * len(names) + 1.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[4.6, 1], sharey=True)
        _matrix(left, steps, names, [t.name for t in tasks])
        _bars(right, widths)
        left.set_title("Steps to the target, as a multiple of the fewest")
    return figure


def _ordered(tables: list[dict[str, Standing]], counted: list[dict[str, Standing]]) -> list[str]:
    """All optimizers, by the share of the tasks that count on which they reach the target, then by how fast they do."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    costs = np.array([[_steps(table.get(name)) for table in counted] for name in names])
    slowness = performance_ratios(np.where(np.isnan(costs), np.inf, costs))
    ran = np.maximum((~np.isnan(costs)).sum(axis=1), 1)
    reached = np.isfinite(costs).sum(axis=1) / ran
    speed = (1 / slowness).sum(axis=1) / ran
    return [names[i] for i in sorted(range(len(names)), key=lambda i: (-reached[i], -speed[i], names[i]))]


def _steps(standing: Standing | None) -> float:
    return math.nan if standing is None else standing.steps


def _matrix(ax: Any, steps: np.ndarray, names: list[str], tasks: list[str]) -> None:
    from gradtx.plots.style import SEQUENTIAL, lightness

    times, solved = performance_ratios(np.where(np.isnan(steps), np.inf, steps)), np.isfinite(steps)
    shade = np.ma.masked_invalid(np.log(np.minimum(times, SLOWEST)) * np.where(solved, 1.0, np.nan))
    image = ax.pcolormesh(shade, cmap=SEQUENTIAL, vmin=0.0, vmax=math.log(SLOWEST), edgecolors="white", linewidth=1.0)
    for (row, column), x in np.ndenumerate(times):
        if np.isnan(steps[row, column]):
            continue
        words, color = "–", "black"
        if solved[row, column]:
            words, shown = _multiple(x), image.cmap(image.norm(math.log(min(x, SLOWEST))))
            color = "black" if lightness(shown) > 0.18 else "white"
        ax.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=7.5, color=color)
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.set_xticks(np.arange(len(tasks)) + 0.5, [t.replace("_", " ") for t in tasks], rotation=35, ha="right")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.invert_yaxis()


def _width(found: list[Standing]) -> tuple[float, bool] | None:
    """The median of the decades of good rates, and whether it may be more; None where there is none."""
    if not found:
        return None
    return median_decades(np.array([s.decades for s in found]), np.array([s.open for s in found]))


def _bars(ax: Any, widths: list[tuple[float, bool] | None]) -> None:
    lengths = np.array([0.0 if each is None else each[0] for each in widths])
    ax.barh(np.arange(len(widths)) + 0.5, lengths, height=0.62, color="0.45")
    for row, each in enumerate(widths):
        if each is not None:
            words, how = ("≥ " if each[1] else "") + f"{each[0]:.1f}", {"textcoords": "offset points", "size": 7.5}
            ax.annotate(words, (each[0], row + 0.5), xytext=(3, 0), va="center", **how)
    ax.set(xlim=(0, 1.5 * max(lengths.max(), 0.1)), xlabel="decades")
    ax.set_title("Good rates")
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.spines["left"].set_visible(False)


def _multiple(x: float) -> str:
    """`1`, `2.3`, `12`; infinity beside one that begins at the target."""
    return "∞" if math.isinf(x) else f"{x:.2g}" if x < 10 else f"{x:,.0f}"
