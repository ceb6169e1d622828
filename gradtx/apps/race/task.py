"""What a task of the race is: a loss, a start, batches, and a score to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Task:
    """A problem that optimizers are raced on: everything about it is decided by a seed, and nothing is downloaded.

    name: as on the command line. about: a sentence. unit: of the score, for axes ("nats per example").
    steps: updates of the parameters, a multiple of every. every: a score is taken after each so many steps, and before
        the first.
    target: the score that counts as reached. lower_bound: what no score can be below, as the loss at the minimum; the
        race reports scores above it; 0 where nothing is known.
    rates: how many learning rates each optimizer may try; seeds: how many starts and orders of batches at each.
    start: `seed -> parameters`, a tree of float32 arrays. Made under jit and vmap: the seed is an int32 scalar, 0 or
        more.
    batches: `seed -> tree of arrays [steps, ...]`, what each step sees; None where every step sees the same.
    loss: `(parameters, batch) -> scalar` to descend, of which the gradient is taken; batch is one row of the batches,
        or None.
    score: `parameters -> scalar`, lower is better: the loss on all of the data, for example. Rounding of float32 may
        take it below `lower_bound`, by 1e-7 of the loss.
    full_batch: whether the gradients have no noise, so that methods which compare signs may run.
    torch: the same for torch, where the task allows: `gradtx.apps.race.tasks.torch_tasks.TorchTask`; else None.
    sources: what the data is, name -> fingerprint, to be printed in the report.
    optimizers: the names of those that make sense on it; empty for all.
    project: `parameters -> parameters`, back into the feasible set after each step; None where all are feasible.
    hyperparameters: optimizer -> what it is given in place of its own, {"adam": {"b2": 0.99}}; all others race with
        their own.
    counted: whether it counts in what is counted over tasks; False where it is built so that one method fails.
    """

    name: str
    about: str
    unit: str
    steps: int
    every: int
    target: float
    rates: int
    seeds: int
    start: Callable[[jax.Array], Any]
    loss: Callable[[Any, Any], jax.Array]
    score: Callable[[Any], jax.Array]
    batches: Callable[[jax.Array], Any] | None = None
    lower_bound: float = 0.0
    full_batch: bool = True
    torch: Any = None
    sources: tuple[tuple[str, str], ...] = ()
    optimizers: tuple[str, ...] = ()
    project: Callable[[Any], Any] | None = None
    hyperparameters: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    counted: bool = True
