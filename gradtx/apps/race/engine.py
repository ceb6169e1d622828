"""Run one optimizer on one task, at all learning rates and seeds together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.apps.race.contenders import Contender
from gradtx.apps.race.results import Cell
from gradtx.apps.race.task import PreparedTask, import_torch
from gradtx.optional_imports import extra

Tick = Callable[[], None]


def run_cell(prepared: PreparedTask, contender: Contender, rates: np.ndarray, tick: Tick = lambda: None) -> Cell:
    """Train one optimizer on one task, at every seed and learning rate; a run that diverges continues to the end.

    The rates `[rates]` are ascending and greater than 0. `tick` is called after each evaluation except the first. All
    contenders share the prepared task, so that they have the same starts and batches.
    Raises: MissingExtraError: the optimizer's library is not installed.
    """
    runs = (TorchTrainings if contender.library == "torch" else Trainings)(prepared, contender, rates)
    scores = [runs.scores()]
    for evaluation in range(len(prepared.at) - 1):
        runs.advance(prepared.batches_after(evaluation))
        scores.append(runs.scores())
        tick()
    found, seconds = np.stack(scores, axis=2), (runs.seconds_compiling, runs.seconds_running)
    return Cell(prepared.task.name, contender.name, contender.library, rates, prepared.at, found, *seconds)


class Trainings:
    """The runs of an optimizer of gradtx or optax in one program: parameters and states `[seeds, rates, ...]`.

    seconds_compiling: to trace and compile it. seconds_running: in `advance`, for all runs together.
    """

    def __init__(self, prepared: PreparedTask, contender: Contender, rates: np.ndarray):
        task, overrides = prepared.task, contender.hyperparameters_on(prepared.task)
        apply = _apply(contender.library)
        self.prepared, self.rates, self.seconds_running = prepared, jnp.asarray(rates, jnp.float32), 0.0

        def begin(rate: Any, params: Any) -> Any:
            return contender.make(rate, **overrides).init(params)

        def train(rate: Any, params: Any, state: Any, batches: Any) -> tuple[Any, Any]:
            tx = contender.make(rate, **overrides)

            def step(carry: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], None]:
                params, state = carry
                value, grads = jax.value_and_grad(task.loss)(params, batch)
                updates, state = tx.update(grads, state, params, value=value, value_fn=lambda p: task.loss(p, batch))
                params = apply(params, updates)
                return (params if task.project is None else task.project(params), state), None

            return jax.lax.scan(step, (params, state), batches, length=task.every)[0]

        started = time.perf_counter()
        starts, batches = jax.eval_shape(lambda: (prepared.starts, prepared.batches_after(0)))
        begin_all = jax.jit(jax.vmap(jax.vmap(begin, (0, None)), (None, 0)))
        begin_now, states = begin_all.lower(self.rates, starts).compile(), jax.eval_shape(begin_all, self.rates, starts)
        params = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*x.shape[:1], len(rates), *x.shape[1:]), x.dtype), starts)
        train_all = jax.jit(_side_by_side(train, len(rates), task.seeds, prepared.room))
        self._advance = train_all.lower(self.rates, params, states, batches).compile()
        self.seconds_compiling = time.perf_counter() - started
        self.params = jax.tree.map(lambda x: jnp.repeat(x[:, None], len(rates), axis=1), prepared.starts)
        self.state = begin_now(self.rates, prepared.starts)

    def advance(self, batches: Any) -> None:
        """Take the steps between two evaluations."""
        before = time.perf_counter()
        self.params, self.state = jax.block_until_ready(self._advance(self.rates, self.params, self.state, batches))
        self.seconds_running += time.perf_counter() - before

    def scores(self) -> np.ndarray:
        """The scores `[rates, seeds]` of the present parameters."""
        return self.prepared.scores(self.params)


def _side_by_side(train: Any, rates: int, seeds: int, room: int) -> Any:
    """Map a run over `[seeds, rates]`: all at once, seed by seed, or one by one, depending on what fits the cache."""
    if room >= rates * seeds:
        return jax.vmap(jax.vmap(train, (0, 0, 0, None)), (None, 0, 0, 0))

    def of_seed(each_rate: Any, params: Any, state: Any, batches: Any) -> Any:
        if room >= rates:
            return jax.vmap(train, (0, 0, 0, None))(each_rate, params, state, batches)
        return jax.lax.map(lambda x: train(*x, batches), (each_rate, params, state))

    return lambda each_rate, *of_seeds: jax.lax.map(lambda x: of_seed(each_rate, *x), of_seeds)


def _apply(library: str) -> Any:
    if library == "gradtx":
        return gradtx.apply_updates
    with extra("peers"):
        import optax
    return optax.apply_updates


class TorchTrainings:
    """The runs of an optimizer of torch, as `Trainings`: one tensor for all, and a parameter group for each rate.

    The losses and gradients of all runs are computed together. Then torch's optimizer steps through its parameter
    groups one after another, which takes most of the time. torch gets one thread: a second one costs more than it
    gains on tensors this small, and ten times as much when XLA's threads run too.
    """

    seconds_compiling = 0.0

    def __init__(self, prepared: PreparedTask, contender: Contender, rates: np.ndarray):
        self.torch, self.prepared, self.seconds_running = import_torch(), prepared, 0.0
        task, in_torch = prepared.task, prepared.task.torch
        assert in_torch is not None, f"task {task.name} is not written for torch"
        self.steps, self.loss = task.every, in_torch.loss
        starts = [self.torch.stack(leaf) for leaf in zip(*map(in_torch.start, range(task.seeds)), strict=True)]
        self.tensors = [x.expand(len(rates), *x.shape).clone() for x in starts]
        self.lanes = [[x[i] for x in self.tensors] for i in range(len(rates))]  # views, which the optimizer changes
        groups = [{"params": lane, "lr": float(np.float32(r))} for lane, r in zip(self.lanes, rates, strict=True)]
        self.optimizer = contender.make(groups, **contender.hyperparameters_on(task))

    def advance(self, batches: None) -> None:
        """Take the steps between two evaluations."""
        threads, before = self.torch.get_num_threads(), time.perf_counter()
        self.torch.set_num_threads(1)
        try:
            for _ in range(self.steps):
                variables = [x.detach().requires_grad_() for x in self.tensors]
                grads = self.torch.autograd.grad(self.loss(variables, None).sum(), variables)
                for i, lane in enumerate(self.lanes):
                    for x, grad in zip(lane, grads, strict=True):
                        x.grad = grad[i]
                self.optimizer.step()
        finally:
            self.torch.set_num_threads(threads)
        self.seconds_running += time.perf_counter() - before

    def scores(self) -> np.ndarray:
        """The scores `[rates, seeds]` of the present parameters."""
        leaves = [jnp.asarray(x.numpy().swapaxes(0, 1).copy()) for x in self.tensors]
        return self.prepared.scores(jax.tree.unflatten(jax.tree.structure(self.prepared.starts), leaves))
