"""All trainings of one optimizer on one task, at every rate and seed, in one compiled program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.contenders import Contender
from gradtx.apps.race.course import Course
from gradtx.apps.race.results import Cell
from gradtx.core.apply import apply_updates
from gradtx.optional_imports import extra

Tick = Callable[[], None]


def run_cell(course: Course, contender: Contender, rates: np.ndarray, tick: Tick = lambda: None) -> Cell:
    """Train one optimizer on one task, at every rate and seed.

    A training whose numbers overflow goes on to the end, and its scores are kept as they are.

    Args:
        course: the task made ready; the same for all contenders, so that starts and batches are the same.
        contender: which one.
        rates: `[rates]`, ascending, each greater than 0.
        tick: called after each evaluation but the first.

    Raises:
        MissingExtraError: its library is not installed.
    """
    if contender.library == "torch":
        from gradtx.apps.race.torch_engine import run_torch_cell

        return run_torch_cell(course, contender, rates, tick)
    started = time.perf_counter()
    lanes = _Lanes(course, contender, rates)
    compiling, running = time.perf_counter() - started, 0.0
    params = jax.tree.map(lambda x: jnp.repeat(x[:, None], len(rates), axis=1), course.starts)
    state, scores = lanes.begin(lanes.rates, course.starts), [course.scores(params)]
    for evaluation in range(len(course.at) - 1):
        batches = course.between(evaluation)
        before = time.perf_counter()
        params, state = jax.block_until_ready(lanes.advance(lanes.rates, params, state, batches))
        running += time.perf_counter() - before
        scores.append(course.scores(params))
        tick()
    found = np.stack(scores, axis=-1)
    return Cell(course.task.name, contender.name, contender.library, rates, course.at, found, compiling, running)


class _Lanes:
    """The compiled programs of a cell: `begin` makes the states, `advance` takes the steps between two scores."""

    def __init__(self, course: Course, contender: Contender, rates: np.ndarray):
        task, given = course.task, contender.hyperparameters_on(course.task)
        apply = _apply(contender.library)
        self.rates = jnp.asarray(rates, jnp.float32)

        def begin(rate: Any, params: Any) -> Any:
            return contender.make(rate, **given).init(params)

        def train(rate: Any, params: Any, state: Any, batches: Any) -> tuple[Any, Any]:
            tx = contender.make(rate, **given)

            def step(carry: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], None]:
                params, state = carry
                grads = jax.grad(task.loss)(params, batch)
                updates, state = tx.update(grads, state, params)
                params = apply(params, updates)
                return (params if task.project is None else task.project(params), state), None

            return jax.lax.scan(step, (params, state), batches, length=task.every)[0]

        starts, batches = jax.eval_shape(lambda: (course.starts, course.between(0)))
        begins = jax.jit(jax.vmap(jax.vmap(begin, (0, None)), (None, 0)))
        self.begin = begins.lower(self.rates, starts).compile()
        states = jax.eval_shape(begins, self.rates, starts)
        params = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*x.shape[:1], len(rates), *x.shape[1:]), x.dtype), starts)
        side_by_side = _side_by_side(train, len(rates), task.seeds, course.room)
        self.advance = jax.jit(side_by_side).lower(self.rates, params, states, batches).compile()


def _side_by_side(train: Any, rates: int, seeds: int, room: int) -> Any:
    """A training over `[seeds, rates]`: all at once, or the seeds in turn, or one by one, as the cache has room."""
    if room >= rates * seeds:
        return jax.vmap(jax.vmap(train, (0, 0, 0, None)), (None, 0, 0, 0))

    def of_seed(each_rate: Any, params: Any, state: Any, batches: Any) -> Any:
        if room >= rates:
            return jax.vmap(train, (0, 0, 0, None))(each_rate, params, state, batches)
        return jax.lax.map(lambda x: train(*x, batches), (each_rate, params, state))

    def of_all(each_rate: Any, params: Any, state: Any, batches: Any) -> Any:
        return jax.lax.map(lambda x: of_seed(each_rate, *x), (params, state, batches))

    return of_all


def _apply(library: str) -> Any:
    if library == "gradtx":
        return apply_updates
    with extra("peers"):
        import optax
    return optax.apply_updates
