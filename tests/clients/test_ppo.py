"""Reinforcement learning in one `lax.scan`: carts, rollouts, epochs and optimizer in one program, as in PureJaxRL.

brax's own trainer makes its optimizer itself, and takes no other.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.clients.agreement import EXPENSIVE, Client, Run, agrees, difference

pytest.importorskip("flax", reason="pip install -e '.[testing]'")
from tests.clients import ppo

KEY = jax.random.key(0)


def train(tx, updates=4):
    """The losses are the mean lengths of episodes, with a minus."""
    traces = []

    @jax.jit
    def whole(key):
        traces.append(1)
        return ppo.train(tx, key, updates)

    for _ in range(2):
        state, lengths = whole(KEY)
    return Run(-np.asarray(lengths), state.params, len(traces))


CLIENTS = [Client("jax", "PPO in one scan, `TrainState`", train, slack=4, rate=2**-6)]  # rollouts enlarge differences


def recipe(rate=2.5e-3, updates=50):
    steps = updates * ppo.EPOCHS * ppo.BATCHES
    return gradtx.chain(
        gradtx.clip_by_global_norm(0.5), gradtx.adam(gradtx.linear_schedule(rate, 0.0, steps), eps=1e-5)
    )


@pytest.mark.parametrize("algorithm", EXPENSIVE)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


@pytest.mark.slow
def test_it_learns_to_balance_over_seeds_and_rates():
    """Both in one program: optax's learning rate is in a closure, ours is an argument of the jitted function."""
    one = functools.partial(ppo.train, updates=50)

    @jax.jit
    def sweep(rates, keys):
        seeds = jax.vmap(lambda tx, key: one(tx, key)[1], in_axes=(None, 0))
        return jax.vmap(seeds, in_axes=(0, None))(jax.vmap(recipe)(rates), keys)

    lengths = np.asarray(sweep(jnp.array([1e-6, 2.5e-3]), jax.random.split(KEY, 3)))
    assert lengths.shape == (2, 3, 50)
    idle, learned = lengths[:, :, -10:].mean(axis=2)
    assert np.all(idle < 40)
    assert np.all(learned > 100)
    alone = jax.jit(lambda tx, key: one(tx, key)[1][:4])(recipe(2.5e-3), jax.random.split(KEY, 3)[1])
    assert difference(lengths[1, 1, :4], np.asarray(alone)) <= 1e-4
