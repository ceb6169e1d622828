"""A small network in plain JAX: fully connected layers, ReLU between them, cross-entropy at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Layer(NamedTuple):
    """One layer: weights `[inputs, outputs]` and biases `[outputs]`, float32."""

    weights: jax.Array
    biases: jax.Array


def initial(key: jax.Array, sizes: Sequence[int]) -> list[Layer]:
    """Normal weights of variance 2 / inputs (He et al. 2015), biases of zero.

    Args:
        key: of `jax.random`.
        sizes: the widths from the input to the output.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        Layer(jnp.sqrt(2 / n) * jax.random.normal(k, (n, m), jnp.float32), jnp.zeros(m, jnp.float32))
        for k, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def logits(layers: Sequence[Layer], x: jax.Array) -> jax.Array:
    """The scores `[n, outputs]` of the inputs `[n, inputs]`; their softmax is the answer."""
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer.weights + layer.biases[None, :])
    return x @ layers[-1].weights + layers[-1].biases[None, :]


def cross_entropy(scores: jax.Array, y: jax.Array) -> jax.Array:
    """The mean of -log p(y), in nats per example; finite for any finite scores."""
    of_truth = jnp.take_along_axis(scores, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - of_truth)


def accuracy(scores: jax.Array, y: jax.Array) -> jax.Array:
    """The share of examples whose highest score is the true one, in [0, 1]."""
    return jnp.mean(jnp.argmax(scores, axis=1).astype(y.dtype) == y, dtype=jnp.float32)
