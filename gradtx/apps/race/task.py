"""The tasks of a race: what a task defines, for JAX and for torch, and a task prepared for training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from gradtx.optional_imports import extra
from gradtx.sweep import CACHE, held


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """The part of a task that the results and the report contain.

    name: as on the command line. about: a sentence. unit: of the score, for axes ("nats per example"). steps: number of
    parameter updates. target: a run has reached it when its score is this low. rates: learning rates for each
    optimizer. seeds: runs at each rate. lower_bound: no score is lower, for example the loss at the minimum; reports
    show scores above it; 0 if unknown. sources: (name, fingerprint) of each data set. hyperparameters: optimizer ->
    values that replace its own, as in {"adam": {"b2": 0.99}}. counted: False excludes the task from comparisons over
    tasks, because it was built so that one method fails.
    """

    name: str
    about: str
    unit: str
    steps: int
    target: float
    rates: int
    seeds: int
    lower_bound: float = 0.0
    sources: tuple[tuple[str, str], ...] = ()
    hyperparameters: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    counted: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(TaskInfo):
    """A problem for optimizers. The seed decides everything about it, and nothing is downloaded.

    every: steps between two scores; divides `steps`. The first score is taken before the first step.
    start: `seed -> parameters`, a tree of float32 arrays. It runs under jit and vmap; the seed is an int32 scalar >= 0.
    loss: `(parameters, batch) -> scalar`, differentiated at each step. The batch is one row of `batches`, or None.
    score: `parameters -> scalar`, lower is better, for example the loss on all data. Rounding in float32 may put it
        below `lower_bound` by 1e-7 of the loss. (The demo returns an array of two scores.)
    batches: `seed -> tree of arrays [steps, ...]`, one row for each step; None if the loss takes no batch.
    full_batch: gradients have no noise, so optimizers that compare signs of gradients can run.
    torch: the same task for torch; None if there is none.
    optimizers: names of the optimizers that can run on it; empty for all.
    project: `parameters -> parameters`, applied after each step to return to the feasible set; None if there is none.
    """

    every: int
    start: Callable[[jax.Array], Any]
    loss: Callable[[Any, Any], jax.Array]
    score: Callable[[Any], jax.Array]
    batches: Callable[[jax.Array], Any] | None = None
    full_batch: bool = True
    torch: TorchTask | None = None
    optimizers: tuple[str, ...] = ()
    project: Callable[[Any], Any] | None = None

    @property
    def info(self) -> TaskInfo:
        """The part for the results, with plain dicts."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(TaskInfo)}
        found["hyperparameters"] = {name: dict(x) for name, x in self.hyperparameters.items()}
        return TaskInfo(**found)


@dataclasses.dataclass(frozen=True)
class TorchTask:
    """A task for torch, with the batches and the score of its `Task`.

    start: `seed -> parameters`, a list of float32 tensors: the leaves of the start of the `Task`. loss: `(parameters,
    batch) -> tensor`. It has the leading axes that all parameters share, one number for each run, so that the gradient
    of its sum is the gradient of every run.
    """

    start: Callable[[int], list[Any]]
    loss: Callable[[list[Any], Any], Any]


def torch_task(start: Callable[[Any], Any], loss: Callable[[list[Any], Any], Any]) -> TorchTask:
    """A `TorchTask` with the start of a `Task` and this loss."""
    compiled = jax.jit(start)

    def torch_start(seed: int) -> list[Any]:
        return [import_torch().from_numpy(np.array(leaf)) for leaf in jax.tree.leaves(compiled(np.int32(seed)))]

    return TorchTask(torch_start, loss)


def import_torch() -> Any:
    """The module torch, or an error that names the extra to install."""
    with extra("peers"):
        import torch
    return torch


class AsVector(NamedTuple):
    """One run over a flat vector: a start `[n]`, batches `[steps, ...]` or None, the loss of `(w, batch)` and its
    gradient, in float32, and the projection of w or None."""

    start: np.ndarray
    batches: Any
    loss: Callable[[Any, Any], jax.Array]
    gradient: Callable[[Any, Any], jax.Array]
    project: Callable[[Any], jax.Array] | None


class PreparedTask:
    """The starts and batches that all optimizers share on a task, and its compiled score.

    starts: `[seeds, ...]`. batches: `[seeds, steps, ...]`, or None. at: `[evaluations]`, the steps after which scores
    are taken. room: how many runs fit into the cache together; see `gradtx.sweep`.

    Raises: ValueError: `steps` is not a multiple of `every`, or one of them is below 1.
    """

    def __init__(self, task: Task):
        if task.steps < 1 or task.every < 1 or task.steps % task.every:
            raise ValueError(
                f"task {task.name}: steps must be a multiple of every, and both at least 1; got steps={task.steps}, "
                f"every={task.every}"
            )
        self.task, seeds = task, np.arange(task.seeds, dtype=np.int32)
        self.at = np.arange(0, task.steps + 1, task.every)
        self.starts = jax.jit(jax.vmap(task.start))(seeds)
        self.batches = None if task.batches is None else jax.jit(jax.vmap(task.batches))(seeds)
        self._score = jax.jit(functools.partial(jax.lax.map, jax.vmap(task.score)))
        start, batch = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], (self.starts, self.batches_after(0))))
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)
        operations = held(jax.make_jaxpr(jax.grad(task.loss))(start, batch).jaxpr)
        moments = 4 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(start))  # and parameters, and gradient
        self.room = CACHE // max(operations, moments, 1)

    def batches_after(self, evaluation: int) -> Any:
        """The batches `[seeds, every, ...]` between this evaluation and the next; None if the loss takes none."""
        first = int(self.at[evaluation])
        return jax.tree.map(lambda x: x[:, first : first + self.task.every], self.batches)

    def scores(self, params: Any) -> np.ndarray:
        """The scores `[rates, seeds]` of parameters `[seeds, rates, ...]`, as shortest decimals of their float32."""
        return np.swapaxes(np.asarray(self._score(params), np.float32), 0, 1).astype(str).astype(np.float64)

    @functools.cached_property
    def as_vector(self) -> AsVector:
        """The run of the first seed."""
        task = self.task
        start, back = ravel_pytree(jax.tree.map(lambda x: x[0], self.starts))
        batches = None if self.batches is None else jax.tree.map(lambda x: np.asarray(x[0]), self.batches)
        gradient = jax.jit(lambda w, batch: ravel_pytree(jax.grad(task.loss)(back(w), batch))[0])

        def loss(w: Any, batch: Any) -> Any:
            return task.loss(back(w.astype(start.dtype)), batch)

        into = task.project
        project = None if into is None else jax.jit(lambda w: ravel_pytree(into(back(w)))[0])
        return AsVector(np.asarray(start), batches, loss, gradient, project)
