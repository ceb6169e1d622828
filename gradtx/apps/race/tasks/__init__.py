"""The tasks of the race by name. Each is made, and its data loaded, when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import burgers, convex, digits, language, streams, surfaces
from gradtx.errors import suggestion, whole

_MAKERS = (
    *(surfaces.bowl, surfaces.rosenbrock, surfaces.beale, surfaces.rastrigin, surfaces.ill_conditioned),
    *(streams.reddi, streams.reddi_theorem, streams.heavy_tails, convex.breast_cancer, convex.wine),
    *(digits.digits, language.bigram, language.characters, burgers.burgers),
)
TASKS: dict[str, Callable[[], Task]] = {make.__name__: make for make in _MAKERS}
"""The maker of each task, in the order of a race."""


def task(name: str) -> Task:
    """The task of this name.

    Raises:
        ValueError: there is no such task. MissingExtraError: the package that contains its data is not installed.
        FileNotFoundError: it reads Python's own source, and this Python has none.
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}{suggestion(name, TASKS)}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]()


def quick(task: Task, share: int = 5) -> Task:
    """The same task with 1 step and 1 rate in `share`, to see that everything works; the target may be out of reach.

    At least one evaluation remains, and three rates if there are as many.
    Raises: ValueError: share is below 1. TypeError: share is not a whole number.
    """
    whole(1, share=share)
    steps, batches = max(task.steps // task.every // share, 1) * task.every, task.batches

    def first(seed: jax.Array):
        return jax.tree.map(lambda x: x[:steps], batches(seed)) if batches is not None else None

    rates = max(min(3, task.rates), task.rates // share)
    return dataclasses.replace(task, steps=steps, rates=rates, batches=None if batches is None else first)
