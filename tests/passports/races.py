"""How each recipe does on a few tasks of the race, by the race's own engine and measures."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from gradtx.apps.race import engine, measures
from gradtx.apps.race.contenders import contenders, grid
from gradtx.apps.race.task import PreparedTask
from gradtx.apps.race.tasks import task
from tests.passports.measured import Subject

TASKS = ("rosenbrock", "ill_conditioned", "reddi", "heavy_tails", "wine")
RATES, SEEDS = 9, 2
WITH_MATRICES = ("wine",)


@functools.cache
def prepared(name: str) -> PreparedTask:
    """A task with fewer rates and seeds, in the same steps."""
    return PreparedTask(dataclasses.replace(task(name), rates=RATES, seeds=SEEDS))


def abouts() -> dict[str, str]:
    """What the tasks are."""
    tasks = {name: prepared(name).task for name in TASKS}
    return {name: f"{t.about} {t.steps:,} steps; the target is {t.target:.3g}." for name, t in tasks.items()}


def race(subject: Subject) -> dict[str, list[Any]]:
    """Task -> the fewest steps to the target and the rate of that, the least gap at the end and the rate of that."""
    called = subject.entry.settings[""].called
    contender = contenders().get(called)
    if contender is None:
        return {}
    matrices, found = subject.tx.traits.needs_matrices, {}
    for name in WITH_MATRICES if matrices else TASKS:
        if contender.absence(prepared(name).task) is None:
            found[name] = _one(prepared(name), contender, matrices)
    return found


def _one(ready: PreparedTask, contender: Any, matrices: bool) -> list[Any]:
    room, ready.room = ready.room, 0 if matrices else ready.room  # decompositions of batches are slow
    try:
        cell = engine.run_cell(ready, contender, grid(contender.centre, RATES))
    finally:
        ready.room = room
    best, fastest = measures.best_rate(cell, ready.task), measures.fastest_rate(cell, ready.task)
    steps = float(measures.steps_to(cell, ready.task.target).min())
    gap = float(measures.final_gaps(cell, ready.task.lower_bound).min())
    at, rate = (None if place is None else float(cell.rates[place]) for place in (fastest, best))
    return [steps, at, gap, rate]
