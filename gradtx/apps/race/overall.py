"""The measures of a whole race: which optimizers can be compared over which tasks, performance profiles, ranks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from gradtx.apps.race.measures import Standing, standings, start_gap
from gradtx.apps.race.results import Results
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
    grid = [[of[t.name][name] for t in tasks] for name in optimizers]
    floors = [RESOLUTION * start_gap(results, t) for t in tasks]
    finals = [[floored(s.final.median, floor) for s, floor in zip(row, floors, strict=True)] for row in grid]
    shape = len(optimizers), len(tasks)
    return Board(
        tasks=tasks,
        optimizers=optimizers,
        left_out={name: missing for name, missing in absent.items() if missing},
        skipped=tuple(t.name for t in counted if t not in tasks),
        steps=np.array([[s.steps for s in row] for row in grid]).reshape(shape),
        finals=np.array(finals).reshape(shape),
        widths=np.array([[s.decades for s in row] for row in grid]).reshape(shape),
        open=np.array([[s.open for s in row] for row in grid], bool).reshape(shape),
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
    """The performance profile at one factor: the share of the tasks that each solver solves within it, `[solvers]`.

    Args:
        factor: at least 1.
        costs: `[solvers, tasks]`, at least 0, infinite if the solver failed.

    Source: as of `gradtx.plots.profile`.
    """
    solved = np.isfinite(costs) & (performance_ratios(costs) <= factor)
    return solved.mean(axis=1) if costs.size else np.zeros(len(costs))


def ranks(costs: np.ndarray) -> np.ndarray:
    """The rank of each solver on each task, 1 for the least cost; equal costs share the mean of their ranks.

        rank[s, p] = #{u: cost[u, p] < cost[s, p]} + (#{u: cost[u, p] = cost[s, p]} + 1) / 2

    Example:
        >>> import numpy as np
        >>> ranks(np.array([[1.0], [3.0], [3.0], [np.inf]]))[:, 0]
        array([1. , 2.5, 2.5, 4. ])
    """
    mine, other = costs[:, None, :], costs[None, :, :]
    return (other < mine).sum(axis=1) + ((other == mine).sum(axis=1) + 1) / 2
