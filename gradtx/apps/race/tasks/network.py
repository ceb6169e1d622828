"""A fully connected network in plain JAX, with ReLU between its layers and a cross-entropy loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Layer(NamedTuple):
    """weights: `[inputs, outputs]`. biases: `[outputs]`. Both float32."""

    weights: jax.Array
    biases: jax.Array


def initial(key: jax.Array, sizes: Sequence[int]) -> list[Layer]:
    """Normal weights of variance 2 / inputs (He et al. 2015) and zero biases, for widths from input to output."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        Layer(jnp.sqrt(2 / n) * jax.random.normal(k, (n, m), jnp.float32), jnp.zeros(m, jnp.float32))
        for k, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def logits(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
    """The logits `[n, outputs]` of inputs `[n, inputs]`."""
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer.weights + layer.biases[None, :])
    return x @ layers[-1].weights + layers[-1].biases[None, :]


def cross_entropy(scores: jax.Array, y: jax.Array) -> jax.Array:
    """The mean of -log p(y) in nats, from logits `[n, classes]`; finite for all finite logits."""
    of_truth = jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - of_truth)


def accuracy(scores: jax.Array, y: jax.Array) -> jax.Array:
    """The share of examples with the highest logit at the true class, in [0, 1]."""
    return jnp.mean(jnp.argmax(scores, axis=1).astype(y.dtype) == y, dtype=jnp.float32)
