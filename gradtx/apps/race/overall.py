"""The measures of a whole race: which optimizers can be compared over which tasks, ranks, and pairs of libraries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gradtx.apps.race.measures import Standing, best_rate, gaps, standings, start_gap
from gradtx.apps.race.results import Cell, Results
from gradtx.apps.race.task import TaskInfo
from gradtx.plots.profiles import performance_ratios

MOST_TASKS = 2 / 3  # a task counts in comparisons over tasks if this share of the optimizers ran on it
OWN = "gradtx"
RESOLUTION = float(np.finfo(np.float32).eps)  # relative to the score at the start; differences below are rounding


@dataclasses.dataclass(frozen=True)
class Board:
    """A full grid of optimizers and tasks, with the measures `[optimizers, tasks]`.

    left_out: optimizer -> the tasks without a result of it, which exclude it. skipped: names of counted tasks on which
    too few ran. open: whether a width is a lower bound.
    """

    tasks: tuple[TaskInfo, ...]
    optimizers: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]
    skipped: tuple[str, ...]
    steps: np.ndarray
    finals: np.ndarray
    widths: np.ndarray
    open: np.ndarray


def board(results: Results) -> Board:
    """The largest fair comparison over tasks.

    An optimizer of several libraries appears once, as gradtx's if that ran. A task counts if two thirds of all
    optimizers ran on it, unless it is built so that one method fails; an optimizer, if it ran on all these tasks. An
    absence is not a failure: what does not fit the grid is named, and does not count as lost.
    """
    counted = [task for task in results.tasks if task.counted]
    of = {task.name: one_of_each(standings(results, task)) for task in counted}
    names = list(dict.fromkeys(cell.optimizer for cell in results.cells))
    tasks = tuple(t for t in counted if of[t.name] and len(of[t.name]) >= MOST_TASKS * len(names))
    absent = {name: tuple(t.name for t in tasks if name not in of[t.name]) for name in names}
    optimizers = tuple(name for name in names if tasks and not absent[name])
    floors = {t.name: RESOLUTION * start_gap(results, t) for t in tasks}

    def grid(measure: Callable[[Standing], float]) -> np.ndarray:
        found = [measure(of[t.name][name]) for name in optimizers for t in tasks]
        return np.array(found).reshape(len(optimizers), len(tasks))

    return Board(
        tasks=tasks,
        optimizers=optimizers,
        left_out={name: missing for name, missing in absent.items() if missing},
        skipped=tuple(t.name for t in counted if t not in tasks),
        steps=grid(lambda s: s.steps),
        finals=grid(lambda s: floored(s.final.median, floors[s.cell.task])),
        widths=grid(lambda s: s.decades),
        open=grid(lambda s: s.open).astype(bool),
    )


def one_of_each(found: Iterable[Standing]) -> dict[str, Standing]:
    """One standing for each optimizer, in the given order: gradtx's if there is one, else the first."""
    kept: dict[str, Standing] = {}
    for standing in found:
        name = standing.cell.optimizer
        if name not in kept or (standing.cell.library == OWN and kept[name].cell.library != OWN):
            kept[name] = standing
    return kept


def floored(gap: float, floor: float) -> float:
    """A final gap, at least the float32 resolution of the score at the start; smaller ones differ by rounding."""
    return max(gap, floor) if math.isfinite(floor) else gap


def share_within(factor: float, costs: np.ndarray) -> np.ndarray:
    """The performance profile at one factor, at least 1: the share of the tasks solved within it, `[solvers]`.

    costs: `[solvers, tasks]`, at least 0, infinite if the solver failed. See `gradtx.plots.profile`.
    """
    solved = np.isfinite(costs) & (performance_ratios(costs) <= factor)
    return solved.mean(axis=1) if costs.size else np.zeros(len(costs))


def ranks(costs: np.ndarray) -> np.ndarray:
    """The rank of each solver on each task, 1 for the least cost; equal costs share the mean of their ranks.

        rank[s, p] = #{u: cost[u, p] < cost[s, p]} + (#{u: cost[u, p] = cost[s, p]} + 1) / 2

    >>> ranks(np.array([[1.0], [3.0], [3.0], [np.inf]]))[:, 0]
    array([1. , 2.5, 2.5, 4. ])
    """
    mine, other = costs[:, None, :], costs[None, :, :]
    return (other < mine).sum(axis=1) + ((other == mine).sum(axis=1) + 1) / 2


class Comparison(NamedTuple):
    """difference: of the curves. running, compiling: our seconds over theirs. Each NaN if it cannot be computed."""

    task: str
    optimizer: str
    library: str
    difference: float
    running: float
    compiling: float


def comparisons(results: Results) -> list[Comparison]:
    """Each cell of another library, compared with gradtx's of the same task and optimizer; in the order of cells."""
    tasks = {task.name: task for task in results.tasks}
    own = {(c.task, c.optimizer): c for c in results.cells if c.library == OWN}
    found = []
    for cell in results.cells:
        mine = own.get((cell.task, cell.optimizer))
        if cell.library == OWN or mine is None or cell.task not in tasks:
            continue
        apart = curve_difference(mine, cell, tasks[cell.task], start_gap(results, tasks[cell.task]))
        times = [(mine.seconds_running, cell.seconds_running), (mine.seconds_compiling, cell.seconds_compiling)]
        ratios = [x / y if y > 0 else math.nan for x, y in times]
        found.append(Comparison(cell.task, cell.optimizer, cell.library, apart, *ratios))
    return found


def curve_difference(a: Cell, b: Cell, task: TaskInfo, start: float) -> float:
    """How far two cells' curves are apart at the first one's best rate, relative to the gap at the start.

        difference = max over t of |median over seeds of gap_a[t] - median of gap_b[t]| / start gap

    It is infinite if one of the two diverged, and NaN if rates or shapes differ, or the first diverged at every rate.
    """
    best = best_rate(a, task)
    if best is None or a.scores.shape != b.scores.shape or not np.allclose(a.rates, b.rates) or not start > 0:
        return math.nan
    one, two = (np.median(gaps(cell, task.lower_bound)[best], axis=0) for cell in (a, b))
    if (np.isfinite(one) != np.isfinite(two)).any():
        return math.inf
    both = np.isfinite(one)
    return float(np.max(np.abs(one[both] - two[both]), initial=0.0)) / start
