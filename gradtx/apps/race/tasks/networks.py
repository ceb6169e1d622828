"""Networks in plain JAX: fully connected layers with ReLU, and a causal transformer."""

from __future__ import annotations

import math
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


class Shape(NamedTuple):
    """Of a transformer: vocabulary size, maximal length, width (a multiple of heads), hidden units, layers."""

    tokens: int
    context: int
    width: int
    heads: int
    hidden: int
    layers: int


class Transformer(NamedTuple):
    """Its parameters. Those of all layers are stacked, so that an optimizer has few leaves to visit."""

    embedding: jax.Array  # [tokens, width]
    places: jax.Array  # [context, width]
    attention: jax.Array  # [layers, width, 3·width]: queries, keys and values
    mixing: jax.Array  # [layers, width, width]
    up: jax.Array  # [layers, width, hidden]
    down: jax.Array  # [layers, hidden, width]
    gains: jax.Array  # [layers, 2, width]: of the normalizations before attention and before the hidden units
    last_gain: jax.Array  # [width]: of the normalization before the head
    head: jax.Array  # [width, tokens]


def transformer(key: jax.Array, shape: Shape) -> Transformer:
    """Normal weights of variance 1 / inputs; those that add to the stream are divided by the root of their number."""
    tokens, context, width, _, hidden, layers = shape
    adding = math.sqrt(2 * layers)
    sizes = {
        "embedding": ((tokens, width), 1.0),
        "places": ((context, width), 1.0),
        "attention": ((layers, width, 3 * width), width**-0.5),
        "mixing": ((layers, width, width), width**-0.5 / adding),
        "up": ((layers, width, hidden), (2 / width) ** 0.5),
        "down": ((layers, hidden, width), hidden**-0.5 / adding),
        "head": ((width, tokens), width**-0.5),
    }
    total = sum(math.prod(size) for size, _ in sizes.values())
    flat = jax.random.normal(key, (total,), jnp.float32)  # one draw, because each takes a while to compile
    drawn, first = {}, 0
    for name, (size, deviation) in sizes.items():
        last = first + math.prod(size)
        drawn[name], first = deviation * flat[first:last].reshape(size), last
    ones = jnp.ones((2 * layers + 1, width), jnp.float32)
    return Transformer(gains=ones[:-1].reshape(layers, 2, width), last_gain=ones[-1], **drawn)


def next_logits(params: Transformer, tokens: jax.Array, heads: int) -> jax.Array:
    """The logits `[n, length, vocabulary]` of the next token at each place, from the tokens `[n, length]` up to it."""
    x = params.embedding[tokens] + params.places[None, : tokens.shape[1]]
    for k in range(len(params.up)):
        x = x + _attend(_normalize(x, params.gains[k, 0]) @ params.attention[k], heads) @ params.mixing[k]
        x = x + jax.nn.relu(_normalize(x, params.gains[k, 1]) @ params.up[k]) @ params.down[k]
    return _normalize(x, params.last_gain) @ params.head


def _attend(projected: jax.Array, heads: int) -> jax.Array:
    """Causal attention `[n, length, width]` from queries, keys and values in one array `[n, length, 3·width]`."""
    n, length, _ = projected.shape
    q, k, v = jnp.moveaxis(projected.reshape(n, length, 3, heads, -1), 2, 0)
    scores = jnp.einsum("nihd,njhd->nhij", q, k) / math.sqrt(q.shape[-1])
    past = jnp.tril(jnp.ones((length, length), bool))[None, None]
    weights = jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)
    return jnp.einsum("nhij,njhd->nihd", weights, v).reshape(n, length, -1)


def _normalize(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Divide each place by its root mean square, and multiply by the gain."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * gain[None, None]
