"""What every client is held to: trained with ours and with the same algorithm of optax, it gives the same numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.compat import to_optax
from tests.clients.table import stated

EPS = float(jnp.finfo(jnp.float32).eps)
STEPS = 20

X = jnp.stack([jnp.linspace(-1.0, 1.0, 8), jnp.cos(2.0 * jnp.arange(8))], axis=1)
Y = jnp.sin(2 * X[:, :1]) - 0.5 * X[:, 1:] ** 2


class Algorithm(NamedTuple):
    """make: one expression for both libraries, of the library and a rate. ulp: how far apart they may be.

    That is after STEPS steps, in float32 epsilons, relative to the largest entry of each leaf.
    """

    make: Callable[[Any, float], Any]
    ulp: int


ALGORITHMS = {
    # optax's 1 - 0.999^t has float32's absolute rounding, so its first steps are some hundred ulp off.
    "adam": Algorithm(lambda lib, rate: lib.adam(rate), 256),
    # These have numbers that float32 holds exactly: what is left is the order of operations.
    "scheduled adamw": Algorithm(
        lambda lib, rate: lib.adamw(lib.cosine_decay_schedule(rate, 40), 0.875, 1 - 2**-6, weight_decay=0.125), 32
    ),
    "clipped nesterov": Algorithm(
        lambda lib, rate: lib.chain(lib.clip_by_global_norm(0.5), lib.sgd(rate, 0.875, nesterov=True)), 32
    ),
}
EXPENSIVE = [pytest.param(name, marks=() if name == "scheduled adamw" else pytest.mark.nightly) for name in ALGORITHMS]
"""For a client that needs no extra but takes seconds to compile: one algorithm in the ordinary run, all nightly."""


class Run(NamedTuple):
    """losses: one a step. params: afterwards. traces: how often the step, or the loss, was traced."""

    losses: np.ndarray
    params: Any
    traces: int


class Client(NamedTuple):
    """package: its name on PyPI. entry: what takes the optimizer. train: optimizer -> Run. hand: how ours goes in.

    slack: what the algorithms' bounds are multiplied by, where the training itself enlarges small differences.
    """

    package: str
    entry: str
    train: Callable[[Any], Run]
    hand: Callable[[Any], Any] = lambda tx: tx
    rate: float = 0.05
    slack: int = 1

    def runs(self, algorithm: str) -> tuple[Run, Run]:
        """Trained with ours and with optax's."""
        make = ALGORITHMS[algorithm].make
        return self.train(self.hand(make(gradtx, self.rate))), self.train(make(optax, self.rate))

    @property
    def handed(self) -> str:
        return "`to_optax(tx)`" if self.hand is to_optax else "`tx`"


def follow(step: Callable, carry: Any, read: Callable = lambda carry: carry, jit: Callable = jax.jit) -> Run:
    """Run `step: carry -> (carry, loss)`, jitted, and `read` the parameters out of the last carry."""
    traces, losses = [], []

    @jit
    def counted(carry):
        traces.append(1)
        return step(carry)

    for _ in range(STEPS):
        carry, loss = counted(carry)
        losses.append(float(loss))
    return Run(np.array(losses), read(carry), len(traces))


def difference(mine: Any, theirs: Any) -> float:
    """The largest difference between two trees, relative to the largest entry of each leaf."""
    jax.tree.map(lambda a, b: None, mine, theirs)  # the same structure
    worst = 0.0
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.all(np.isfinite(a))
        if a.size:
            worst = max(worst, float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), EPS)))
    return worst


def agrees(client: Client, algorithm: str) -> None:
    """Require the same training, within the bound and as near as the notebook says, as few traces, and less loss.

    Four times the figure of the notebook, and sixteen: another processor may round otherwise.
    """
    mine, theirs = client.runs(algorithm)
    ulp = difference(mine[:2], theirs[:2]) / EPS
    assert ulp <= client.slack * ALGORITHMS[algorithm].ulp
    package, _, given, adam, others = stated()[client.entry]
    assert (package, given) == (client.package, client.handed)
    assert ulp <= max(4 * (adam if algorithm == "adam" else others), 16)
    assert mine.traces <= theirs.traces
    assert mine.losses.min() < mine.losses[0]
