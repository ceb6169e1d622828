"""What is read off one cell of a race: its best rate, where that ends, when the target is reached, how wide it is."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from gradtx.apps.race.results import Cell, Results, TaskInfo

TOLERANCE = 0.05  # a score so near to the task's best, relative to it, is as good


class Spread(NamedTuple):
    """Where the seeds ended: the median of the two middle ones, and single ones of them."""

    median: float
    least: float
    lower: float  # a quarter of the seeds are here or below
    upper: float  # three quarters are
    greatest: float


@dataclasses.dataclass(frozen=True)
class Standing:
    """A cell, and what it has to show.

    best: the place of its best rate, None where it diverged at every rate. final: above the bound, over seeds, at that
    rate. fastest: the place of the rate that reached the target first, None where none did. steps: until then, else
    infinity. seconds: of one training, until then, without compilation; compiled: with it. decades: the width of the
    rates that are good enough; open: whether the widest or the least rate is among them, so that it may be wider.
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
    """Scores above a lower bound, and infinity where a training diverged.

        gap = max(score - bound, 0)     infinite where the score is not finite

    Args:
        cell: of a race.
        bound: what no score can be below; rounding may take one there.

    Returns:
        `[rates, seeds, evaluations]`, at least 0.
    """
    finite = np.isfinite(cell.scores)
    return np.where(finite, np.maximum(np.where(finite, cell.scores, 0.0) - bound, 0.0), np.inf)


def spread(values: np.ndarray) -> Spread:
    """The median of some numbers, and the ordered ones at 0, 1/4, 3/4 and 1.

    The median is the mean of the middle two where their number is even. The quartiles are numbers that are there, the
    first that a quarter, and three quarters, of all do not exceed, so that an infinite one does not spoil them.

    Args:
        values: `[seeds]`, without NaN, at least one.

    Example:
        >>> import numpy as np
        >>> spread(np.array([3.0, 1.0, np.inf, 2.0]))
        Spread(median=2.5, least=1.0, lower=1.0, upper=3.0, greatest=inf)
    """
    least, lower, upper, greatest = np.quantile(values, (0.0, 0.25, 0.75, 1.0), method="inverted_cdf").tolist()
    return Spread(float(np.median(values)), least, lower, upper, greatest)


def final_gaps(cell: Cell, bound: float) -> np.ndarray:
    """The median over seeds of the last gap, `[rates]`; infinite where half of the seeds diverged."""
    return np.median(gaps(cell, bound)[:, :, -1], axis=1)


def steps_to(cell: Cell, target: float) -> np.ndarray:
    """The fewest steps after which half of the seeds, or more, have been at the target or below, at each rate.

        steps_i = the least t such that  #{seeds: min score[i, seed, <= t] <= target} >= seeds / 2

    Scores are taken every few steps, so a number is rounded up to the next of those.

    Args:
        cell: of a race.
        target: the score that counts as reached.

    Returns:
        `[rates]`, infinite where fewer than half reach it.
    """
    reached = np.nan_to_num(cell.scores, nan=np.inf, neginf=np.inf) <= target
    first = np.where(reached.any(axis=2), cell.at[reached.argmax(axis=2)], np.inf)
    return np.quantile(first, 0.5, axis=1, method="inverted_cdf")


def best_rate(cell: Cell, task: TaskInfo) -> int | None:
    """The place of the rate with the lowest median final score; None where all are infinite.

    Of equal ones, the one that reaches the target first; of those, the least rate.
    """
    ends, steps = final_gaps(cell, task.lower_bound), steps_to(cell, task.target)
    return _first(ends, steps, cell.rates)


def fastest_rate(cell: Cell, task: TaskInfo) -> int | None:
    """The place of the rate that reaches the target in the fewest steps; None where none does.

    Of equal ones, the one that ends lowest; of those, the least rate.
    """
    ends, steps = final_gaps(cell, task.lower_bound), steps_to(cell, task.target)
    return _first(steps, ends, cell.rates)


def seconds_of_one(cell: Cell, steps: float) -> float:
    """The share of the running time that falls on so many steps of one training.

        seconds = seconds_running / (rates · seeds) · steps / all steps

    All trainings of a cell run in one program, side by side. One alone takes longer than its share where the machine
    has cores, or lanes, to spare: this compares the cells of a race, and does not predict a single run.
    """
    trainings = cell.scores.shape[0] * cell.scores.shape[1]
    return cell.seconds_running / trainings * steps / max(float(cell.at[-1]), 1.0)


def good_enough(task: TaskInfo, best_gap: float) -> float:
    """The gap up to which a rate counts as good: that of the target, or 5% above the task's best, whichever is higher.

        enough = max(target - bound, 1.05 · best gap)

    5% of a best gap near 0, which is rounding, would be no width at all: there, the target decides.

    Args:
        task: which one.
        best_gap: the least median final gap of any contender.
    """
    return max(task.target - task.lower_bound, (1 + TOLERANCE) * best_gap if math.isfinite(best_gap) else 0.0)


def decades(rates: np.ndarray, good: np.ndarray) -> tuple[float, bool]:
    """How many decades of learning rate are good, and whether there may be more beyond the rates that were tried.

        decades = sum over good i of  log10(r[i+1] / r[i-1]) / 2     with r[-1] = r[0] and r[n] = r[n-1]

    Each rate stands for half of the way to its neighbours. Where an end of the range is good, it is only a lower bound.

    Args:
        rates: `[rates]`, ascending.
        good: `[rates]`, bool.

    Example:
        >>> import numpy as np
        >>> decades(np.array([0.01, 0.1, 1.0, 10.0]), np.array([False, True, True, False]))
        (2.0, False)
    """
    edges = np.pad(np.log10(rates), 1, mode="edge")
    return float(np.sum(((edges[2:] - edges[:-2]) / 2)[good])), bool(good[0] or good[-1])


def median_decades(widths: np.ndarray, lower_bounds: np.ndarray) -> tuple[float, bool]:
    """The median of some widths, and whether it is only a lower bound: it would be another one, were those wider.

    Args:
        widths: `[tasks]`, decades; at least one.
        lower_bounds: `[tasks]`, bool: which of them are no more than that.

    Example:
        >>> import numpy as np
        >>> median_decades(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
        (2.0, False)
        >>> median_decades(np.array([1.0, 2.0, 3.0]), np.array([True, False, False]))
        (2.0, True)
    """
    found = float(np.median(widths))
    return found, bool(np.median(np.where(lower_bounds, np.inf, widths)) > found)


def start_gap(results: Results, task: TaskInfo) -> float:
    """The median over seeds of the gap before the first step, which all contenders share; infinite if not finite."""
    starts = [gaps(c, task.lower_bound)[0, :, 0] for c in results.cells if c.task == task.name]
    return float(np.median(np.concatenate(starts))) if starts else math.inf


def standings(results: Results, task: TaskInfo) -> list[Standing]:
    """Every cell of a task with its measures: the lowest final score first, then the fewest steps, then by name."""
    cells = [cell for cell in results.cells if cell.task == task.name]
    best = min((float(final_gaps(c, task.lower_bound).min()) for c in cells), default=math.inf)
    enough = good_enough(task, best)
    found = [_standing(cell, task, enough) for cell in cells]
    return sorted(found, key=lambda s: (s.final.median, s.steps, s.cell.optimizer, s.cell.library))


def _standing(cell: Cell, task: TaskInfo, enough: float) -> Standing:
    best, fastest = best_rate(cell, task), fastest_rate(cell, task)
    final = Spread(*[math.inf] * 5)
    if best is not None:
        final = spread(gaps(cell, task.lower_bound)[best, :, -1])
    steps = math.inf if fastest is None else float(steps_to(cell, task.target)[fastest])
    seconds = math.inf if fastest is None else seconds_of_one(cell, steps)
    width, more = decades(cell.rates, final_gaps(cell, task.lower_bound) <= enough)
    return Standing(cell, best, final, fastest, steps, seconds, seconds + cell.seconds_compiling, width, more)


def _first(costs: np.ndarray, then: np.ndarray, rates: np.ndarray) -> int | None:
    """The place of the least cost, ties by `then`, then by rate; None where no cost is finite."""
    place = int(np.lexsort((rates, then, costs))[0])
    return place if np.isfinite(costs[place]) else None
