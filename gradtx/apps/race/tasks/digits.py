"""Handwritten digits and a network with one hidden layer: small for the race, larger for the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.data import Digits, fingerprint, load_digits
from gradtx.apps.race.tasks.networks import Layer, accuracy, cross_entropy, initial, logits

HIDDEN, BATCH, EPOCHS, SPLIT = 32, 32, 10, 0


def digits() -> Task:
    """A network with one hidden layer on 8 by 8 pixels.

    The score is the loss on the test set, because that is the goal of training, and because it ends above 0: within 5%
    of the best is then a meaningful range. The loss on training data goes to 0 over many decades.
    """
    found = load_digits(SPLIT)

    def keys(seed: Any) -> tuple[jax.Array, jax.Array]:
        key = jax.random.key(seed)
        return key, jax.random.split(jax.random.fold_in(key, 1), EPOCHS)

    return _digits_task(
        found,
        keys,
        (HIDDEN, BATCH, EPOCHS),
        about=f"Handwritten digits of 8 by 8 pixels: a network 64-{HIDDEN}-10 with ReLU, batches of {BATCH}, {EPOCHS} "
        f"epochs of {len(found.train_y)} images; the loss on {len(found.test_y)} others.",
        every=len(found.train_y) // BATCH // 2,
        target=0.15,
        rates=13,
        seeds=3,
        score=lambda layers: _loss(layers, found.test_x, found.test_y),
        sources=(("scikit-learn's digits", fingerprint(found)),),
    )


def demo_digits(found: Digits, hidden: int, batch: int, epochs: int, seed: int) -> Task:
    """The task of the demo. Its scores, after each epoch, are the loss on the training set and the test accuracy."""

    def keys(_: Any) -> tuple[jax.Array, jax.Array]:
        of_network, of_order = jax.random.split(jax.random.key(seed))
        return of_network, jax.vmap(lambda k: jax.random.fold_in(of_order, k))(jnp.arange(epochs, dtype=jnp.int32))

    def score(layers: Sequence[Layer]) -> jax.Array:
        right = accuracy(logits(layers, found.test_x), found.test_y)
        return jnp.stack([_loss(layers, found.train_x, found.train_y), right])

    every = len(found.train_y) // batch
    rest = {"about": "", "target": 0.0, "rates": 1, "seeds": 1, "every": every, "score": score}
    return _digits_task(found, keys, (hidden, batch, epochs), **rest)


def shuffled(key: jax.Array, examples: int, batch_size: int) -> jax.Array:
    """The batches of an epoch `[steps, batch]`, in random order. The rest that does not fill a batch is left out."""
    steps = examples // batch_size
    return jax.random.permutation(key, examples)[: steps * batch_size].reshape(steps, batch_size)


def _digits_task(found: Digits, keys: Callable[[Any], Any], sizes: tuple[int, int, int], **more: Any) -> Task:
    """keys: `seed -> (key of the first network, a key for each epoch)`. sizes: hidden units, batch, epochs."""
    hidden, batch, epochs = sizes
    examples = len(found.train_y)

    def batches(seed: Any) -> jax.Array:
        each = jax.vmap(lambda key: shuffled(key, examples, batch))(keys(seed)[1])
        return each.reshape(-1, batch)

    return Task(
        name="digits",
        unit="nats per image",
        steps=epochs * (examples // batch),
        start=lambda seed: initial(keys(seed)[0], (64, hidden, 10)),
        batches=batches,
        loss=lambda layers, batch: _loss(layers, found.train_x[batch], found.train_y[batch]),
        full_batch=False,
        **more,
    )


def _loss(layers: Sequence[Layer], x: jax.Array, y: jax.Array) -> jax.Array:
    return cross_entropy(logits(layers, x.astype(layers[0].weights.dtype)), y)
