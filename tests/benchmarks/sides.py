"""One library's step: made, compiled, run; and the plain copy that says how fast memory is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.shapes import nbytes
from tests.benchmarks.timing import time_compilation

try:
    import torch
except ImportError:
    torch = None


def one_step(tx: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """(parameters, state, gradients) -> (parameters, state): `tx.step` of ours; update and apply_updates of optax's.

    Those that need the loss are told that it is 1.
    """
    if hasattr(tx, "step"):
        needed = dict.fromkeys(tx.extras.needed, 1.0)
        return lambda params, state, grads: tx.step(grads, state, params, **needed)
    import optax

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = optax.with_extra_args_support(tx).update(grads, state, params, value=jnp.ones(()))
        return optax.apply_updates(params, updates), state

    return step


class Side:
    """A compiled step with its own parameters and state, both donated; the gradients are shared between sides."""

    def __init__(self, tx: Any, params: Any, grads: Any):
        self.tx, self.grads = tx, grads
        self.params = jax.tree.map(jnp.copy, params)
        self.state = jax.jit(tx.init)(self.params)
        self.compiled: Any = None

    def compile(self) -> dict[str, float]:
        """Seconds to trace, lower and compile, with empty caches."""
        took, self.compiled = time_compilation(one_step(self.tx), self.params, self.state, self.grads, donate=(0, 1))
        return took

    def run(self) -> Any:
        """One step."""
        self.params, self.state = self.compiled(self.params, self.state, self.grads)
        return self.params, self.state

    def traffic(self) -> dict[str, float]:
        """Bytes that the step moves, and its temporaries, per parameter, as XLA counts them."""
        size = sum(x.size for x in jax.tree.leaves(self.params))
        return {
            "bytes": self.compiled.cost_analysis().get("bytes accessed", float("nan")) / size,
            "temporaries": self.compiled.memory_analysis().temp_size_in_bytes / size,
        }


def minimum_bytes(params: Any, state: Any, grads: Any) -> int:
    """Read parameters, gradients and state once; write parameters and state once."""
    return 2 * nbytes((params, state)) + nbytes(grads)


def copy_of(numbers: int) -> Callable[[], Any]:
    """A run that reads as many float32 numbers and writes them: the bandwidth limit, as the compiler's own loop has it.

    It writes where it has read, as a step does: to another buffer took twice the time on the processor where it was
    tried, which reads a line before it writes to it. It negates, since a copy onto itself would be left out.
    """
    move = jax.jit(lambda x: -x, donate_argnums=0)
    held = {"x": jnp.ones(numbers)}

    def run() -> Any:
        held["x"] = move(held["x"])
        return held["x"]

    return run


def torch_sides(make: Callable | None, params: Any, grads: Any) -> dict[str, Callable[[], Any]]:
    """A step of torch's fused and of its foreach implementation, where torch is installed and has such a step."""
    if torch is None or make is None:
        return {}
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    sides = {}
    for how in ("fused", "foreach"):
        copies = [torch.nn.Parameter(torch.from_numpy(np.array(p)).to(device)) for p in params]
        for p, g in zip(copies, grads, strict=True):
            p.grad = torch.from_numpy(np.array(g)).to(device)
        sides[f"torch {how}"] = _waited(make(copies, **{how: True}), on_gpu)
    return sides


def _waited(step: Callable[[], Any], on_gpu: bool) -> Callable[[], Any]:
    def run() -> None:
        step()
        if on_gpu and torch is not None:
            torch.cuda.synchronize()

    return run
