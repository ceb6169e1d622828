"""The measures of one cell of a race: its best rate, its final score, the steps to the target, the good rates."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from gradtx.apps.race.results import Cell, Results
from gradtx.apps.race.task import TaskInfo

TOLERANCE = 0.05  # scores within 5% of the best on the task are as good


class Spread(NamedTuple):
    """The final scores of the seeds."""

    median: float
    least: float
    greatest: float


@dataclasses.dataclass(frozen=True)
class Standing:
    """A cell with its measures.

    best: the place of its best rate, None if all rates diverged. final: the gaps at the end, at that rate. fastest: the
    place of the rate that reaches the target first, None if none does. steps: to the target, else infinite. seconds: of
    one run to the target, without compilation; compiled: with it. decades: the width of the good rates; open: the
    lowest or the highest rate is good, so that the width is a lower bound.
    """

    cell: Cell
    best: int | None
    final: Spread
    fastest: int | None
    steps: float
    seconds: float
    compiled: float
    decades: float
    open: bool


def gaps(cell: Cell, bound: float) -> np.ndarray:
    """Scores above a lower bound, `[rates, seeds, evaluations]`: max(score - bound, 0), infinite if not finite."""
    finite = np.isfinite(cell.scores)
    return np.where(finite, np.maximum(np.where(finite, cell.scores, 0.0) - bound, 0.0), np.inf)


def final_gaps(cell: Cell, bound: float) -> np.ndarray:
    """The median over seeds of the last gap, `[rates]`; infinite if half of the seeds diverged."""
    return np.median(gaps(cell, bound)[:, :, -1], axis=1)


def steps_to(cell: Cell, target: float) -> np.ndarray:
    """The fewest steps after which at least half of the seeds have reached the target, `[rates]`, else infinite.

        steps_i = the least t such that  #{seeds: min score[i, seed, <= t] <= target} >= seeds / 2

    Scores are taken every few steps, so the number is rounded up.
    """
    reached = np.nan_to_num(cell.scores, nan=np.inf, neginf=np.inf) <= target
    first = np.where(reached.any(axis=2), cell.at[reached.argmax(axis=2)], np.inf)
    return np.quantile(first, 0.5, axis=1, method="inverted_cdf")


def best_rate(cell: Cell, task: TaskInfo) -> int | None:
    """The place of the rate with the lowest median final score, of ties the fastest to the target, then the lowest.

    None if all rates diverged.
    """
    return _first(final_gaps(cell, task.lower_bound), steps_to(cell, task.target), cell.rates)


def fastest_rate(cell: Cell, task: TaskInfo) -> int | None:
    """The place of the rate that reaches the target in the fewest steps, of ties the best at the end, then the lowest.

    None if no rate reaches it.
    """
    return _first(steps_to(cell, task.target), final_gaps(cell, task.lower_bound), cell.rates)


def seconds_of_one(cell: Cell, steps: float) -> float:
    """The share of the running time that belongs to so many steps of one run.

        seconds = seconds_running / (rates · seeds) · steps / all steps

    All runs of a cell are in one program, side by side. A run of its own takes longer, if the machine has cores or
    vector lanes to spare. So this compares cells of a race, and does not predict a single run.
    """
    runs = cell.scores.shape[0] * cell.scores.shape[1]
    return cell.seconds_running / runs * steps / max(float(cell.at[-1]), 1.0)


def good_enough(task: TaskInfo, best_gap: float) -> float:
    """The largest final gap of a good rate, from the best one of any optimizer: max(target - bound, 1.05 · best gap).

    Five percent of a best gap near 0, which is rounding, would be no range; the target decides then.
    """
    return max(task.target - task.lower_bound, (1 + TOLERANCE) * best_gap if math.isfinite(best_gap) else 0.0)


def decades(rates: np.ndarray, good: np.ndarray) -> tuple[float, bool]:
    """How many decades of ascending learning rates are good, and whether an end is good, so that it is a lower bound.

        decades = sum over good i of  log10(r[i+1] / r[i-1]) / 2     with r[-1] = r[0] and r[n] = r[n-1]

    >>> decades(np.array([0.01, 0.1, 1.0, 10.0]), np.array([False, True, True, False]))
    (2.0, False)
    """
    edges = np.pad(np.log10(rates), 1, mode="edge")
    return float(np.sum(((edges[2:] - edges[:-2]) / 2)[good])), bool(good[0] or good[-1])


def median_decades(widths: np.ndarray, lower_bounds: np.ndarray) -> tuple[float, bool]:
    """The median of widths, and whether it is a lower bound, because some of them are.

    >>> median_decades(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
    (2.0, False)
    >>> median_decades(np.array([1.0, 2.0, 3.0]), np.array([True, False, False]))
    (2.0, True)
    """
    found = float(np.median(widths))
    return found, bool(np.median(np.where(lower_bounds, np.inf, widths)) > found)


def start_gap(results: Results, task: TaskInfo) -> float:
    """The median over seeds of the gap before the first step; infinite if it is not finite, or nothing ran."""
    starts = [gaps(c, task.lower_bound)[0, :, 0] for c in results.cells if c.task == task.name]
    return float(np.median(np.concatenate(starts))) if starts else math.inf


def standings(results: Results, task: TaskInfo) -> list[Standing]:
    """All cells of a task with their measures, sorted by final score, then steps, then name."""
    cells = [cell for cell in results.cells if cell.task == task.name]
    best = min((float(final_gaps(c, task.lower_bound).min()) for c in cells), default=math.inf)
    found = [_standing(cell, task, good_enough(task, best)) for cell in cells]
    return sorted(found, key=lambda s: (s.final.median, s.steps, s.cell.optimizer, s.cell.library))


def _standing(cell: Cell, task: TaskInfo, enough: float) -> Standing:
    best, fastest = best_rate(cell, task), fastest_rate(cell, task)
    final = Spread(*[math.inf] * 3)
    if best is not None:
        ends = gaps(cell, task.lower_bound)[best, :, -1]
        final = Spread(float(np.median(ends)), float(ends.min()), float(ends.max()))
    steps = math.inf if fastest is None else float(steps_to(cell, task.target)[fastest])
    seconds = math.inf if fastest is None else seconds_of_one(cell, steps)
    width, more = decades(cell.rates, final_gaps(cell, task.lower_bound) <= enough)
    return Standing(cell, best, final, fastest, steps, seconds, seconds + cell.seconds_compiling, width, more)


def _first(costs: np.ndarray, then: np.ndarray, rates: np.ndarray) -> int | None:
    """The place of the least cost, ties by `then`, then by rate; None if no cost is finite."""
    place = int(np.lexsort((rates, then, costs))[0])
    return place if np.isfinite(costs[place]) else None
