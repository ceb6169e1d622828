"""A deep, narrow network: many small leaves in a whole train step, packed and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.packing import unpack


def network(layers: int = 250, width: int = 32, seed: int = 0) -> list[dict[str, jax.Array]]:
    """The parameters of a residual MLP: `2 * layers` leaves, all below the threshold of `pack`."""
    keys = jax.random.split(jax.random.key(seed), layers)
    scale = 1 / (width**0.5 * layers)
    weights = [scale * jax.random.normal(key, (width, width)) for key in keys]
    return [{"w": w, "b": jnp.zeros(width)} for w in weights]


def batch(size: int = 64, width: int = 32, seed: int = 1) -> tuple[jax.Array, jax.Array]:
    """Inputs, and targets that are the inputs in another order."""
    x = jax.random.normal(jax.random.key(seed), (size, width))
    return x, x[:, ::-1]


def loss(params: Any, data: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The mean squared error; packed parameters are unpacked first."""
    x, y = data
    for layer in unpack(params):
        x = x + jax.nn.relu(x @ layer["w"] + layer["b"][None])
    return jnp.mean((x - y) ** 2)


def train_step(tx: Any) -> Callable[[Any, Any, Any], tuple[Any, Any, jax.Array]]:
    """`step(params, state, data) -> (params, state, loss)`, to be jitted; tx is gradtx's or optax's."""

    def step(params: Any, state: Any, data: Any) -> tuple[Any, Any, jax.Array]:
        value, grads = jax.value_and_grad(loss)(params, data)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
        return params, state, value

    return step
