"""A task made ready to be raced on: the starts and batches that all contenders share, and how they are scored."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from gradtx.apps.race.task import Task
from gradtx.sweep import CACHE, held


class AsVector(NamedTuple):
    """A start `[n]`, the batches `[steps, ...]` or None, `slope(w, batch)`, and `project(w)` or None."""

    start: np.ndarray
    batches: Any
    slope: Callable[[Any, Any], jax.Array]
    project: Callable[[Any], jax.Array] | None


class Course:
    """What all contenders share on a task.

    starts: `[seeds, ...]`. batches: `[seeds, steps, ...]`, or None. at: `[evaluations]`, after which steps scores are
    taken. room: how many trainings may run side by side, as many as have room in the cache; see `gradtx.sweep`.

    Raises:
        ValueError: a task whose steps are no multiple of what is between two scores.
    """

    def __init__(self, task: Task):
        if task.steps < 1 or task.every < 1 or task.steps % task.every:
            raise ValueError(
                f"task {task.name}: its steps must be a multiple of every, both at least 1; "
                f"got {task.steps} and {task.every}"
            )
        self.task = task
        self.at = np.arange(0, task.steps + 1, task.every)
        seeds = np.arange(task.seeds, dtype=np.int32)
        self.starts = jax.jit(jax.vmap(task.start))(seeds)
        self.batches = None if task.batches is None else jax.jit(jax.vmap(task.batches))(seeds)
        self.room = CACHE // max(self._held_by_one(), 1)

    def between(self, evaluation: int) -> Any:
        """The batches `[seeds, every, ...]` of the steps after this evaluation and until the next; or None."""
        first = int(self.at[evaluation])
        return jax.tree.map(lambda x: x[:, first : first + self.task.every], self.batches)

    def _held_by_one(self) -> int:
        """Bytes: what a gradient gives out at most, or the parameters with their gradient and two moments."""
        start, batch = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], (self.starts, self.between(0))))
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)
        grad = jax.make_jaxpr(jax.grad(self.task.loss))(start, batch).jaxpr
        return max(held(grad), 4 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(start)))

    @functools.cached_property
    def as_vector(self) -> AsVector:
        """The first seed's training as one over a vector of all parameters."""
        task = self.task
        start, back = ravel_pytree(jax.tree.map(lambda x: x[0], self.starts))
        batches = None if self.batches is None else jax.tree.map(lambda x: np.asarray(x[0]), self.batches)
        slope = jax.jit(lambda w, batch: ravel_pytree(jax.grad(task.loss)(back(w), batch))[0])
        into = task.project
        project = None if into is None else jax.jit(lambda w: ravel_pytree(into(back(w)))[0])
        return AsVector(np.asarray(start), batches, slope, project)

    @functools.cached_property
    def _score(self) -> Any:
        return jax.jit(functools.partial(jax.lax.map, jax.vmap(self.task.score)))

    def scores(self, params: Any) -> np.ndarray:
        """The scores `[rates, seeds]` of parameters `[seeds, rates, ...]`.

        They are the shortest decimal numbers that name these of float32, so that files of them are short.
        """
        return np.asarray(self._score(params), np.float32).T.astype(str).astype(np.float64)
