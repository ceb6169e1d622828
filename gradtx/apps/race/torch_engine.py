"""All trainings of one of torch's optimizers: one tensor for all, and a parameter group for each rate."""

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
from gradtx.optional_imports import extra


def run_torch_cell(course: Course, contender: Contender, rates: np.ndarray, tick: Callable[[], None]) -> Cell:
    """Train one of torch's optimizers on one task, at every rate and seed; see `run_cell`.

    The losses of all trainings are computed at once, and their gradients; then each group of torch's optimizer takes
    its step, one after another: this is where the time goes, not into arithmetic. Nothing is compiled. The groups of
    other rates make it slower than a single training, but less than as many single ones. torch gets one thread: its
    tensors here are so small that a second one costs more than it gives, and ten times as much beside XLA's.
    """
    with extra("peers"):
        import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(torch, course, contender, rates, tick)
    finally:
        torch.set_num_threads(threads)


def _trained(torch: Any, course: Course, contender: Contender, rates: np.ndarray, tick: Callable[[], None]) -> Cell:
    task = course.task
    seeds = [task.torch.start(seed) for seed in range(task.seeds)]
    starts = [torch.stack(leaf) for leaf in zip(*seeds, strict=True)]
    tensors = [x.expand(len(rates), *x.shape).clone() for x in starts]
    lanes = [[x[i] for x in tensors] for i in range(len(rates))]  # views: what the optimizer changes in place
    groups = [{"params": lane, "lr": float(np.float32(rate))} for lane, rate in zip(lanes, rates, strict=True)]
    optimizer = contender.make(groups, **contender.hyperparameters_on(task))
    structure = jax.tree.structure(course.starts)

    def scores() -> np.ndarray:
        leaves = [jnp.asarray(x.numpy().swapaxes(0, 1).copy()) for x in tensors]
        return course.scores(jax.tree.unflatten(structure, leaves))

    found, running = [scores()], 0.0
    for _ in range(len(course.at) - 1):
        before = time.perf_counter()
        for _ in range(task.every):
            variables = [x.detach().requires_grad_() for x in tensors]
            grads = torch.autograd.grad(task.torch.loss(variables, None).sum(), variables)
            for i, lane in enumerate(lanes):
                for x, grad in zip(lane, grads, strict=True):
                    x.grad = grad[i]
            optimizer.step()
        running += time.perf_counter() - before
        found.append(scores())
        tick()
    return Cell(task.name, contender.name, "torch", rates, course.at, np.stack(found, axis=-1), 0.0, running)
