"""optax's `chain` with ours as a member, between two of its own."""

import jax
import jax.numpy as jnp
import optax
import pytest

from tests.clients.agreement import ALGORITHMS, Client, X, Y, agrees, follow

PARAMS = {"w": jnp.ones((2, 1)), "b": jnp.zeros(1)}


def train(tx):
    tx = optax.chain(optax.clip(1.0), tx, optax.scale(0.5))

    def step(carry):
        params, state = carry
        value, grads = jax.value_and_grad(lambda p: jnp.mean((X @ p["w"] + p["b"] - Y) ** 2))(params)
        updates, state = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    return follow(step, (PARAMS, tx.init(PARAMS)), lambda carry: carry[0])


CLIENTS = [Client("optax", "`optax.chain`", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_its_own(algorithm):
    agrees(CLIENTS[0], algorithm)
