"""Training: one compiled program per optimizer, which runs an epoch at all of its rates at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.demo import network
from gradtx.apps.demo.contenders import Contender, sweep
from gradtx.apps.demo.data import Digits
from gradtx.core.apply import apply_updates
from gradtx.core.pair import GradientTransformation
from gradtx.optional_imports import extra

HIDDEN = (256,)
TARGET = 0.95


class Training(NamedTuple):
    """What one training carries from step to step."""

    layers: list[network.Layer]
    state: Any


class Scores(NamedTuple):
    """How good a network is: the loss on the whole training set (nats per example), the accuracy on the test set."""

    train_loss: jax.Array
    test_accuracy: jax.Array


class Curves(NamedTuple):
    """What came of one optimizer at all of its rates.

    rates: as they were given.
    steps_per_epoch: updates of the parameters in an epoch.
    train_loss, test_accuracy: `[rates, epochs + 1]`, float64, before the first epoch and after each.
    seconds_compiling: to trace, lower and compile the program for all rates.
    seconds_training: to run it for all epochs, all rates together; measuring how good they are is not included.
    """

    rates: tuple[float, ...]
    steps_per_epoch: int
    train_loss: np.ndarray
    test_accuracy: np.ndarray
    seconds_compiling: float
    seconds_training: float

    @property
    def ranking(self) -> list[int]:
        """The rates' places in `rates`, best first: by the last test accuracy, then by the last loss on training."""
        return sorted(range(len(self.rates)), key=lambda i: rank(self.train_loss[i, -1], self.test_accuracy[i, -1]))

    def steps_to(self, accuracy: float, i: int) -> int | None:
        """The steps until the i-th rate first had this accuracy at the end of an epoch; None where it never had."""
        reached = np.flatnonzero(self.test_accuracy[i] >= accuracy)
        return int(reached[0]) * self.steps_per_epoch if len(reached) else None


def rank(loss: float, accuracy: float) -> tuple[bool, float, float]:
    """A key that sorts the better first: diverged ones last, then by accuracy, then by loss."""
    return not np.isfinite(loss), -accuracy, loss


def evaluate(layers: Sequence[network.Layer], digits: Digits) -> Scores:
    """The scores of one network on all of the data."""
    train, test = network.logits(layers, digits.train_x), network.logits(layers, digits.test_x)
    return Scores(network.cross_entropy(train, digits.train_y), network.accuracy(test, digits.test_y))


def begin(tx: GradientTransformation, layers: list[network.Layer]) -> Training:
    """A training before its first step."""
    return Training(layers, tx.init(layers))


def epoch(tx: GradientTransformation, training: Training, digits: Digits, batches: jax.Array) -> Training:
    """One optimizer at one rate over the batches: indices into the training set, `[steps, batch]`."""

    def loss(layers: list[network.Layer], x: jax.Array, y: jax.Array) -> jax.Array:
        return network.cross_entropy(network.logits(layers, x), y)

    def step(training: Training, batch: jax.Array) -> tuple[Training, None]:
        grads = jax.grad(loss)(training.layers, digits.train_x[batch], digits.train_y[batch])
        updates, state = tx.update(grads, training.state, training.layers)
        return Training(apply_updates(training.layers, updates), state), None

    return jax.lax.scan(step, training, batches)[0]


evaluate_all = jax.jit(jax.vmap(evaluate, in_axes=(0, None)))
"""`evaluate` for a stack of networks."""

begin_all = jax.vmap(begin, in_axes=(0, None))
"""`begin` for a transformation that holds several rates; all start from the same network."""

epoch_of_all = jax.jit(jax.vmap(epoch, in_axes=(0, 0, None, None)))
"""`epoch` for a transformation that holds several rates; all see the same batches."""


def shuffled(key: jax.Array, examples: int, batch_size: int) -> jax.Array:
    """The batches of an epoch, `[steps, batch]`: a random order; what does not fill a batch is left out this time."""
    steps = examples // batch_size
    return jax.random.permutation(key, examples)[: steps * batch_size].reshape(steps, batch_size)


def race(
    contenders: Mapping[str, Contender], digits: Digits, *, epochs: int, batch_size: int, seed: int
) -> dict[str, Curves]:
    """Train the same network with every contender at each of its rates, over the same batches.

    Args:
        contenders: by name.
        digits: the data.
        epochs, batch_size: at least 1; a batch is no larger than the training set.
        seed: decides the first network and the order of the data.
    """
    with extra("demo"):
        from tqdm import tqdm

    examples = len(digits.train_y)
    of_network, of_order = jax.random.split(jax.random.key(seed))
    layers = jax.jit(network.initial, static_argnums=1)(of_network, (digits.train_x.shape[1], *HIDDEN, 10))
    batches = jax.jit(shuffled, static_argnums=(1, 2))
    lanes: dict[str, Lane] = {}
    names = tqdm(contenders.items(), "compiling", unit="optimizer", disable=None, leave=False, dynamic_ncols=True)
    for name, contender in names:
        names.set_postfix_str(name)
        size = examples if contender.full_batch else batch_size
        lanes[name] = Lane(contender, layers, digits, batches(of_order, examples, size))
    bar = tqdm(range(epochs), "training", unit="epoch", disable=None, leave=False, dynamic_ncols=True)
    for k in bar:
        key = jax.random.fold_in(of_order, k)
        for lane in lanes.values():
            lane.run(batches(key, examples, lane.batch_size))
        leader = max(lanes, key=lambda name: lanes[name].accuracy)
        bar.set_postfix_str(f"ahead: {leader} {lanes[leader].accuracy:.1%}")
    return {name: lane.curves() for name, lane in lanes.items()}


class Lane:
    """One contender in a race: its compiled program, where its trainings are, and the time they took."""

    def __init__(self, contender: Contender, layers: list[network.Layer], digits: Digits, batches: jax.Array):
        self.rates, self.digits = contender.rates, digits
        self.steps, self.batch_size = batches.shape
        self.tx = sweep(contender.make, contender.rates)
        self.trainings = begin_all(self.tx, layers)
        self.scores = [evaluate_all(self.trainings.layers, digits)]
        self.seconds_training = 0.0
        start = time.perf_counter()
        self.program = epoch_of_all.lower(self.tx, self.trainings, digits, batches).compile()
        self.seconds_compiling = time.perf_counter() - start

    @property
    def accuracy(self) -> float:
        """The best accuracy so far of any rate, at the end of the last epoch."""
        return float(jnp.max(self.scores[-1].test_accuracy))

    def run(self, batches: jax.Array) -> None:
        """Train for an epoch."""
        start = time.perf_counter()
        self.trainings = jax.block_until_ready(self.program(self.tx, self.trainings, self.digits, batches))
        self.seconds_training += time.perf_counter() - start
        self.scores.append(evaluate_all(self.trainings.layers, self.digits))

    def curves(self) -> Curves:
        """What came of it."""
        loss, accuracy = (
            np.stack([np.asarray(x, np.float64) for x in xs], axis=1) for xs in zip(*self.scores, strict=True)
        )
        return Curves(self.rates, self.steps, loss, accuracy, self.seconds_compiling, self.seconds_training)
