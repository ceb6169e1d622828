"""What torch needs of a task: the same start, and the same loss in torch's own operations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradtx.optional_imports import extra


@dataclasses.dataclass(frozen=True)
class TorchTask:
    """A task for torch; its batches and its score are those of the `Task`.

    start: `seed -> parameters`, a list of float32 tensors: the leaves of the `Task`'s, with the same numbers.
    loss: `(parameters, batch) -> tensor`. Parameters may have leading axes, the same for all: then the loss has them,
        one number for each, and the gradient of the sum is that of each alone. So many trainings are one.
    """

    start: Callable[[int], list[Any]]
    loss: Callable[[list[Any], Any], Any]


def torch_task(start: Callable[[Any], Any], loss: Callable[[list[Any], Any], Any]) -> TorchTask:
    """A task for torch that starts where the one for JAX does.

    Args:
        start: as of `Task`.
        loss: as of `TorchTask`.
    """
    compiled = jax.jit(start)

    def torch_start(seed: int) -> list[Any]:
        with extra("peers"):
            import torch
        leaves = jax.tree.leaves(compiled(np.int32(seed)))
        return [torch.from_numpy(np.array(leaf)) for leaf in leaves]  # a copy: JAX's own memory is not to be written

    return TorchTask(torch_start, loss)
