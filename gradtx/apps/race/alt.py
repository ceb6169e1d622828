"""What the pictures show, in words, for those who do not see them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradtx.apps.race.measures import Standing, final_gaps, good_enough, standings, start_gap
from gradtx.apps.race.overall import board, one_of_each, share_within
from gradtx.apps.race.results import Results, TaskInfo
from gradtx.apps.race.tables import gap, number


def race(results: Results, task: TaskInfo) -> str:
    """Of `pictures.race`: where everybody begins and ends."""
    found = list(one_of_each(standings(results, task)).values())
    reached = sum(math.isfinite(s.steps) for s in found)
    ends = _series(f"{s.cell.optimizer} at {gap(s.final.median)}" for s in found)
    return (
        f"Score over {task.steps:,} steps on {task.name}, a panel for each optimizer. All begin at "
        f"{number(start_gap(results, task))}; they end, best first: {ends}. {reached} of {len(found)} reach the "
        f"target, {number(task.target - task.lower_bound)}, at one rate or another."
    )


def basins(results: Results, task: TaskInfo) -> str:
    """Of `pictures.basins`: the rates that each tried, and which were good."""
    found = list(one_of_each(standings(results, task)).values())
    enough = good_enough(task, min((s.final.median for s in standings(results, task)), default=math.inf))
    parts = "; ".join(f"{s.cell.optimizer}, {_rates(s, task, enough)}" for s in found)
    return f"Final score on {task.name} over the learning rate, a strip for each optimizer: {parts}."


def profile(results: Results) -> str:
    """Of `pictures_overall.profile`: the shares of tasks at the left and at the right end."""
    b = board(results)
    first, ever = share_within(1.0, b.steps), share_within(math.inf, b.steps)
    order = sorted(range(len(b.optimizers)), key=lambda i: (-ever[i], -first[i], b.optimizers[i]))
    parts = _series(f"{b.optimizers[i]} {first[i]:.0%} and {ever[i]:.0%}" for i in order)
    return (
        f"Performance profiles over {len(b.tasks)} tasks, of steps to the target at the left and of final scores at "
        f"the right. Share of tasks on which each is first, and reaches the target at all: {parts}."
    )


def summary(results: Results) -> str:
    """Of `pictures_overall.summary`: who is first on which task."""
    parts = []
    for task in results.tasks:
        found = list(one_of_each(standings(results, task)).values())
        least = min((s.steps for s in found), default=math.inf)
        first = [s.cell.optimizer for s in found if s.steps == least]
        parts.append(f"{task.name}, {_series(first) if math.isfinite(least) else 'nobody'}")
    return f"Steps to the target of every optimizer on every task. Those that need the fewest: {'; '.join(parts)}."


def _rates(s: Standing, task: TaskInfo, enough: float) -> str:
    if s.best is None:
        return "diverged at every rate"
    good = s.cell.rates[final_gaps(s.cell, task.lower_bound) <= enough]
    best = f"best at {number(float(s.cell.rates[s.best]))}"
    if not len(good):
        return f"{best}, no good rate"
    ends = number(float(good[0])), number(float(good[-1]))
    return f"{best}, good " + (f"from {ends[0]} to {ends[1]}" if ends[0] != ends[1] else "there alone")


def _series(words: Iterable[str]) -> str:
    return ", ".join(words)
