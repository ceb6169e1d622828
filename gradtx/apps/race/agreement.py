"""Whether libraries compute the same under the same name: their updates, compared along our trajectory."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.contenders import Contender, raced
from gradtx.apps.race.results import Agreement, NotCompared
from gradtx.apps.race.task import PreparedTask, import_torch
from gradtx.double_precision import double_precision

STEPS, SHORT, LARGE = 200, 20, 2_000  # at most so many steps, fewer for a task with more parameters than LARGE
BOUND = 1e-9  # float64's 1e-16, after sums, differences and roots
DIGITS = 2 * np.finfo(np.float64).eps

NOT_COMPARED = tuple(
    NotCompared(name, library, peer.differs)
    for name, (_, setting) in raced().items()
    for library, peer in (("optax", setting.optax), ("torch", setting.torch))
    if peer is not None and peer.differs
)
"""The pairs that are not compared."""


def compared(ours: Contender, rivals: Sequence[Contender]) -> list[Contender]:
    """The rivals that should compute what an optimizer of gradtx computes: of the same name, and not `NOT_COMPARED`."""
    if ours.library != "gradtx":
        return []
    left_out = {(pair.optimizer, pair.library) for pair in NOT_COMPARED}
    same = (r for r in rivals if r.name == ours.name and r.library != ours.library)
    return [r for r in same if (r.name, r.library) not in left_out]


def agreements(prepared: PreparedTask, ours: Contender, rivals: Sequence[Contender]) -> list[Agreement]:
    """Compare the updates of gradtx with those of other libraries, from the same gradients and parameters.

        difference = max over t of  max|u_t - v_t| / max|u_t|

    The trajectory is that of gradtx in float64, from the start of the first seed, at the contender's centre rate. All
    parameters are one vector. The gradients are the task's, in float32; the comparison ends before one that is not
    finite. The updates of torch are differences of its parameters, so rounding errors of these, 2 units in the last
    place, are not counted.

    Returns: one agreement for each rival.
    Raises: MissingExtraError: a rival's library is not installed.
    """
    task, worst, done = prepared.task, [0.0] * len(rivals), 0
    start, batches, loss, gradient_at, project = prepared.as_vector
    leader = _Jax(ours, task, loss)
    others = [_Torch(r, task) if r.library == "torch" else _Jax(r, task, loss) for r in rivals]
    w = start.astype(np.float64)
    for each in (leader, *others):
        each.begin(w)
    for t in range(min(task.steps, STEPS if w.size <= LARGE else SHORT)):
        batch = jax.tree.map(operator.itemgetter(t), batches)
        gradient = np.asarray(gradient_at(_narrow(w), batch), np.float64)
        if not np.isfinite(gradient).all():
            break
        u = leader.update(gradient, w, batch)
        for k, other in enumerate(others):
            v = other.update(gradient, w, batch)
            worst[k] = np.maximum(worst[k], _difference(u, v, other.unread * np.abs(w)))  # NaN stays NaN
        w, done = w + u, t + 1
        if project is not None:
            w = np.asarray(project(_narrow(w)), np.float64)
    return [
        Agreement(task.name, ours.name, rival.library, done, float(x), BOUND)
        for rival, x in zip(rivals, worst, strict=True)
    ]


def _narrow(w: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # the gradient there is not finite, which ends the comparison
        return w.astype(np.float32)


def _difference(u: np.ndarray, v: np.ndarray, unread: np.ndarray) -> float:
    """The distance of two updates beyond what could not be read, relative to the largest entry of the first."""
    apart, size = np.max(np.maximum(np.abs(u - v) - unread, 0.0)), np.max(np.abs(u))
    return float(apart / size) if size else float(np.where(apart == 0, 0.0, np.where(np.isnan(apart), apart, np.inf)))


class _Jax:
    """An optimizer of gradtx or optax in float64."""

    unread = 0.0

    def __init__(self, contender: Contender, task: Any, loss: Callable[[Any, Any], Any]):
        hyperparameters = tuple(contender.hyperparameters_on(task).items())
        asks = raced()[contender.name][0].make().extras.needed
        self.tx, self.step = _compiled(contender.make, hyperparameters, contender.centre, loss if asks else None)
        self.state: Any = None

    def begin(self, w: np.ndarray) -> None:
        with double_precision():
            self.state = self.tx.init(jnp.asarray(w))

    def update(self, gradient: np.ndarray, w: np.ndarray, batch: Any) -> np.ndarray:
        with double_precision():
            u, self.state = self.step(jnp.asarray(gradient), self.state, jnp.asarray(w), batch)
            return np.asarray(u)


@functools.lru_cache(maxsize=64)
def _compiled(
    make: Callable[..., Any], hyperparameters: tuple[tuple[str, Any], ...], rate: float, loss: Any
) -> tuple[Any, Any]:
    """Cached, so that tasks with equally many parameters share the program; with a loss, it is given to update."""
    with double_precision():
        tx = make(rate, **dict(hyperparameters))

    def step(gradient: Any, state: Any, w: Any, batch: Any) -> tuple[Any, Any]:
        given = {} if loss is None else {"value": loss(w, batch), "value_fn": lambda w: loss(w, batch)}
        return tx.update(gradient, state, w, **given)

    return tx, jax.jit(step)


class _Torch:
    """An optimizer of torch in float64."""

    unread = DIGITS

    def __init__(self, contender: Contender, task: Any):
        self.contender, self.hyperparameters = contender, contender.hyperparameters_on(task)

    def begin(self, w: np.ndarray) -> None:
        self.torch = import_torch()
        self.w = self.torch.tensor(w)
        groups = [{"params": [self.w], "lr": self.contender.centre}]
        self.optimizer = self.contender.make(groups, **self.hyperparameters)

    def update(self, gradient: np.ndarray, w: np.ndarray, batch: Any) -> np.ndarray:
        self.w.copy_(self.torch.tensor(w))
        self.w.grad = self.torch.tensor(gradient)
        with _float64(self.torch):
            self.optimizer.step()
        return self.w.numpy() - w


@contextmanager
def _float64(torch: Any) -> Iterator[None]:
    """The default type of torch, which decides the precision of its scalars, such as NAdam's product of b1."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
