"""Optimizers of torch: the tasks in torch's operations, and all runs in one tensor with a parameter group per rate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.contenders import Contender
from gradtx.apps.race.task import PreparedTask
from gradtx.optional_imports import extra


@dataclasses.dataclass(frozen=True)
class TorchTask:
    """A task for torch. It shares the batches and the score of its `Task`.

    start: `seed -> parameters`, a list of float32 tensors: the leaves that the start of the `Task` has.
    loss: `(parameters, batch) -> tensor`. If all parameters have the same leading axes, so has the loss: one number for
        each run, so that the gradient of the sum is the gradient of every run.
    """

    start: Callable[[int], list[Any]]
    loss: Callable[[list[Any], Any], Any]


def torch_task(start: Callable[[Any], Any], loss: Callable[[list[Any], Any], Any]) -> TorchTask:
    """A `TorchTask` with the start of a `Task` and this loss."""
    compiled = jax.jit(start)

    def torch_start(seed: int) -> list[Any]:
        torch = import_torch()
        return [torch.from_numpy(np.array(leaf)) for leaf in jax.tree.leaves(compiled(np.int32(seed)))]

    return TorchTask(torch_start, loss)


class TorchTrainings:
    """The runs of an optimizer of torch; as `gradtx.apps.race.engine.Trainings`.

    The losses and gradients of all runs are computed together. Then torch's optimizer steps through its parameter
    groups one after another, which takes most of the time. torch gets one thread: a second one costs more than it
    gains on tensors this small, and ten times as much when XLA's threads run too.
    """

    seconds_compiling = 0.0

    def __init__(self, prepared: PreparedTask, contender: Contender, rates: np.ndarray):
        self.torch, self.prepared, self.seconds_running = import_torch(), prepared, 0.0
        task = prepared.task
        starts = [self.torch.stack(leaf) for leaf in zip(*map(task.torch.start, range(task.seeds)), strict=True)]
        self.tensors = [x.expand(len(rates), *x.shape).clone() for x in starts]
        self.lanes = [[x[i] for x in self.tensors] for i in range(len(rates))]  # views, which the optimizer changes
        groups = [{"params": lane, "lr": float(np.float32(r))} for lane, r in zip(self.lanes, rates, strict=True)]
        self.optimizer = contender.make(groups, **contender.hyperparameters_on(task))

    def advance(self, batches: None) -> None:
        """Take the steps between two evaluations."""
        task, threads = self.prepared.task, self.torch.get_num_threads()
        self.torch.set_num_threads(1)
        before = time.perf_counter()
        try:
            for _ in range(task.every):
                variables = [x.detach().requires_grad_() for x in self.tensors]
                grads = self.torch.autograd.grad(task.torch.loss(variables, None).sum(), variables)
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


def import_torch() -> Any:
    """The module torch, or an error that names the extra to install."""
    with extra("peers"):
        import torch
    return torch
