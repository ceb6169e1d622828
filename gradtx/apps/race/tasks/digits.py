"""The demonstration's network on handwritten digits, smaller."""

from __future__ import annotations

import jax

from gradtx.apps.demo import data, network
from gradtx.apps.demo.train import shuffled
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.fingerprints import fingerprint

HIDDEN, BATCH, EPOCHS, SPLIT = 32, 32, 10, 0


def digits() -> Task:
    """A network with one hidden layer on 8 by 8 pixels.

    The score is the loss on the test set: it ends above zero, so that being within 5% of the best says something, and
    it is what people want; the loss on training goes to zero, by decades of which no one has any use.
    """
    found = data.load(SPLIT)
    examples = len(found.train_y)
    per_epoch = examples // BATCH

    def batches(seed: jax.Array) -> jax.Array:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), EPOCHS)
        return jax.vmap(lambda key: shuffled(key, examples, BATCH))(keys).reshape(EPOCHS * per_epoch, BATCH)

    def loss_on(layers: list[network.Layer], x: jax.Array, y: jax.Array) -> jax.Array:
        return network.cross_entropy(network.logits(layers, x.astype(layers[0].weights.dtype)), y)

    return Task(
        name="digits",
        about=f"Handwritten digits of 8 by 8 pixels: a network 64-{HIDDEN}-10 with ReLU, batches of {BATCH}, {EPOCHS} "
        f"times through {examples} images; the loss on {len(found.test_y)} others.",
        unit="nats per image",
        steps=EPOCHS * per_epoch,
        every=per_epoch // 2,
        target=0.15,
        rates=13,
        seeds=3,
        start=lambda seed: network.initial(jax.random.key(seed), (64, HIDDEN, 10)),
        batches=batches,
        loss=lambda layers, batch: loss_on(layers, found.train_x[batch], found.train_y[batch]),
        score=lambda layers: loss_on(layers, found.test_x, found.test_y),
        full_batch=False,
        sources=(("scikit-learn's digits", fingerprint(found)),),
    )
