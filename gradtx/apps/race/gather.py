"""What the pieces of work gave, as results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradtx.apps.race.agreement import NOT_COMPARED
from gradtx.apps.race.contenders import LIBRARIES
from gradtx.apps.race.results import Agreement, Cell, Results, TaskInfo
from gradtx.apps.race.store import Kept
from gradtx.apps.race.task import Task
from gradtx.apps.race.work import Work


def gather(
    tasks: Sequence[Task],
    done: Sequence[tuple[Work, Kept]],
    machine: dict[str, str],
    settings: dict[str, str],
    seconds: float,
    compared: bool,
) -> Results:
    """The results, in the order of the tasks, and on each in that of the contenders.

    Args:
        tasks: that were raced on.
        done: each piece of work, and what it gave.
        machine, settings, seconds: as of `Results`.
        compared: whether gradtx was compared with the other libraries.
    """
    places = {task.name: place for place, task in enumerate(tasks)}

    def rows(kind: type) -> tuple[Any, ...]:
        found = [row for work, kept in done if work.kind is kind for row in kept.rows]
        return tuple(sorted(found, key=lambda row: places[row.task]))

    raced = {row.optimizer for row in rows(Cell)}
    pairs = [pair for pair in NOT_COMPARED if pair.optimizer in raced and compared and pair.library in machine]
    return Results(
        tasks=tuple(info(task) for task in tasks),
        cells=tuple(sorted(rows(Cell), key=lambda row: (places[row.task], LIBRARIES.index(row.library)))),
        agreements=rows(Agreement),
        machine=machine,
        settings=settings,
        seconds=seconds,
        not_compared=tuple(pairs),
    )


def info(task: Task) -> TaskInfo:
    """What the report says of a task."""
    return TaskInfo(
        task.name,
        task.about,
        task.unit,
        task.steps,
        task.target,
        task.lower_bound,
        task.rates,
        task.seeds,
        task.sources,
        {name: dict(given) for name, given in task.hyperparameters.items()},
        task.counted,
    )
