"""The same optimizer of two libraries in one race: how far their curves differ, and the ratios of their times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradtx.apps.race.measures import best_rate, gaps, start_gap
from gradtx.apps.race.overall import OWN
from gradtx.apps.race.results import Cell, Results
from gradtx.apps.race.task import TaskInfo


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
        running = _over(mine.seconds_running, cell.seconds_running)
        compiling = _over(mine.seconds_compiling, cell.seconds_compiling)
        found.append(Comparison(cell.task, cell.optimizer, cell.library, apart, running, compiling))
    return found


def curve_difference(a: Cell, b: Cell, task: TaskInfo, start: float) -> float:
    """How far two cells' curves are apart at the first one's best rate, relative to the gap at the start.

        difference = max over t of |median over seeds of gap_a[t] - median of gap_b[t]| / start gap

    Returns: at least 0; infinite if one of the two diverged; NaN if rates or shapes differ, or the first diverged at
        every rate.
    """
    best = best_rate(a, task)
    if best is None or a.scores.shape != b.scores.shape or not np.allclose(a.rates, b.rates) or not start > 0:
        return float("nan")
    one, two = (np.median(gaps(cell, task.lower_bound)[best], axis=0) for cell in (a, b))
    both = np.isfinite(one) & np.isfinite(two)
    if (np.isfinite(one) != np.isfinite(two)).any():
        return float("inf")
    return float(np.max(np.abs(np.where(both, one, 0.0) - np.where(both, two, 0.0)))) / start


def _over(mine: float, theirs: float) -> float:
    return mine / theirs if theirs > 0 else float("nan")
