"""A small causal transformer in plain JAX."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Shape(NamedTuple):
    """tokens: in the vocabulary. context: how many it sees at most. width: of what each place holds, a multiple of
    heads. hidden: between the two products of a layer. layers: how many."""

    tokens: int
    context: int
    width: int
    heads: int
    hidden: int
    layers: int


class Params(NamedTuple):
    """Those of a layer have the layers as their first axis, so that an optimizer has few leaves to go through."""

    embedding: jax.Array  # [tokens, width]
    places: jax.Array  # [context, width]
    attention: jax.Array  # [layers, width, 3·width]: queries, keys and values
    mixing: jax.Array  # [layers, width, width]
    up: jax.Array  # [layers, width, hidden]
    down: jax.Array  # [layers, hidden, width]
    gains: jax.Array  # [layers, 2, width]: of the normalizations before attention, and before the hidden units
    last_gain: jax.Array  # [width]: of that before the head
    head: jax.Array  # [width, tokens]


def initial(key: jax.Array, shape: Shape) -> Params:
    """Normal weights of variance 1 / inputs; what adds to the stream is smaller, by the root of how many add to it.

    Args:
        key: of `jax.random`.
        shape: of the transformer.
    """
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
    flat = jax.random.normal(key, (total,), jnp.float32)  # one draw: each takes a while to compile
    drawn, first = {}, 0
    for name, (size, deviation) in sizes.items():
        last = first + math.prod(size)
        drawn[name], first = deviation * flat[first:last].reshape(size), last
    ones = jnp.ones((2 * layers + 1, width), jnp.float32)
    return Params(gains=ones[:-1].reshape(layers, 2, width), last_gain=ones[-1], **drawn)


def logits(params: Params, tokens: jax.Array, shape: Shape) -> jax.Array:
    """The scores `[n, length, tokens]` of what comes next at each place; place i has seen those up to itself.

    Args:
        params: of this shape.
        tokens: `[n, length]`, whole numbers; no longer than the context.
        shape: of the transformer.
    """
    length = tokens.shape[1]
    x = params.embedding[tokens] + params.places[None, :length]
    for k in range(shape.layers):
        x = x + attend(_normal(x, params.gains[k, 0]) @ params.attention[k], shape.heads) @ params.mixing[k]
        x = x + jax.nn.relu(_normal(x, params.gains[k, 1]) @ params.up[k]) @ params.down[k]
    return _normal(x, params.last_gain) @ params.head


def attend(projected: jax.Array, heads: int) -> jax.Array:
    """Causal attention `[n, length, width]` of queries, keys and values side by side, `[n, length, 3·width]`."""
    n, length, _ = projected.shape
    q, k, v = jnp.moveaxis(projected.reshape(n, length, 3, heads, -1), 2, 0)
    likeness = jnp.einsum("nihd,njhd->nhij", q, k) / math.sqrt(q.shape[-1])
    past = jnp.tril(jnp.ones((length, length), bool))[None, None]
    weights = jax.nn.softmax(jnp.where(past, likeness, -jnp.inf), axis=-1)
    return jnp.einsum("nhij,njhd->nihd", weights, v).reshape(n, length, -1)


def _normal(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Divided by the root mean square of each place, times the gain."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * gain[None, None]
