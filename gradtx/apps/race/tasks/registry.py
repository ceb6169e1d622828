"""The tasks by name. Each is made when it is asked for: only then its data is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import burgers, convex, digits, language, noisy, online, surfaces
from gradtx.core.errors import suggestion, whole

TASKS: dict[str, Callable[[], Task]] = {
    "bowl": surfaces.bowl,
    "rosenbrock": surfaces.rosenbrock,
    "beale": surfaces.beale,
    "rastrigin": surfaces.rastrigin,
    "ill_conditioned": surfaces.ill_conditioned,
    "reddi": online.reddi,
    "reddi_theorem": online.reddi_theorem,
    "heavy_tails": noisy.heavy_tails,
    "breast_cancer": convex.breast_cancer,
    "wine": convex.wine,
    "digits": digits.digits,
    "bigram": language.bigram,
    "characters": language.characters,
    "burgers": burgers.burgers,
}
"""What makes each task, in the order in which they are raced."""


def task(name: str) -> Task:
    """The task of this name.

    Args:
        name: one of `TASKS`.

    Raises:
        ValueError: there is none of this name.
        MissingExtraError: a package that carries its data is not installed.
        FileNotFoundError: it reads Python's own source, and this Python has none.
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}{suggestion(name, TASKS)}; there is {', '.join(TASKS)}")
    return TASKS[name]()


def quick(task: Task, share: int = 5) -> Task:
    """The same task cut short, to see that everything works: fewer steps and fewer learning rates, all of the seeds.

    Args:
        task: any; its target stays, and may be out of reach.
        share: what part of the steps and rates stays, 1 in so many, but one evaluation and three rates, if there are
            as many; at least 1.

    Raises:
        ValueError: share below 1. TypeError: it is no whole number.
    """
    whole(1, share=share)
    evaluations = max(task.steps // task.every // share, 1)
    steps, batches = evaluations * task.every, task.batches

    def first(seed: jax.Array):
        return jax.tree.map(lambda x: x[:steps], batches(seed)) if batches is not None else None

    return dataclasses.replace(
        task,
        steps=steps,
        rates=max(min(3, task.rates), task.rates // share),
        batches=None if batches is None else first,
    )
