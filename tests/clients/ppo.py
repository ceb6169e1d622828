"""Proximal policy optimization on a cart with a pole, all of it in one program, as PureJaxRL has it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState

ENVS, LENGTH, EPOCHS, BATCHES = 16, 64, 2, 4
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2


class Cart(NamedTuple):
    """x, its velocity, the angle of the pole from upright, its velocity: shape (4,). steps: of this episode."""

    x: jax.Array
    steps: jax.Array


def reset(key):
    return Cart(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), jnp.zeros((), jnp.int32))


def move(key, cart, action):
    """Push to the left or the right for 0.02 s (Barto, Sutton and Anderson, 1983); a new cart where the pole fell."""
    _, v, angle, spin = cart.x
    force = jnp.where(action == 1, 10.0, -10.0)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    push = (force + 0.05 * spin**2 * sin) / 1.1
    twist = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    moved = cart.x + 0.02 * jnp.stack([v, push - 0.05 * twist * cos / 1.1, spin, twist])
    steps = cart.steps + 1
    done = (jnp.abs(moved[0]) > 2.4) | (jnp.abs(moved[2]) > 0.2095) | (steps >= 500)
    fresh = reset(key)
    return Cart(jnp.where(done, fresh.x, moved), jnp.where(done, fresh.steps, steps)), done, steps


def network(key):
    """Parameters of an actor with two logits and of a critic."""
    keys = jax.random.split(key, 4)

    def head(first, second, out, gain):
        return {
            "hidden": jax.nn.initializers.orthogonal(2**0.5)(first, (4, 32)),
            "bias": jnp.zeros((1, 32)),
            "out": jax.nn.initializers.orthogonal(gain)(second, (32, out)),
        }

    return {"actor": head(keys[0], keys[1], 2, 0.01), "critic": head(keys[2], keys[3], 1, 1.0)}


def apply(params, x):
    """Log-probabilities of the actions, and values."""

    def head(p):
        return jnp.tanh(x @ p["hidden"] + p["bias"]) @ p["out"]

    return jax.nn.log_softmax(head(params["actor"])), head(params["critic"])[:, 0]


class Step(NamedTuple):
    """What is remembered of a step of all carts; after the rollout shapes are (LENGTH, ENVS, ...)."""

    x: jax.Array
    action: jax.Array
    logp: jax.Array
    value: jax.Array
    done: jax.Array
    ended: jax.Array  # how long the episodes were that ended here, else 0


def loss(params, batch):
    step, advantage, target = batch
    logits, value = apply(params, step.x)
    logp = jnp.take_along_axis(logits, step.action[:, None], axis=1)[:, 0]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    ratio = jnp.exp(logp - step.logp)
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage).mean()
    near = step.value + jnp.clip(value - step.value, -CLIP, CLIP)
    error = jnp.maximum((value - target) ** 2, (near - target) ** 2).mean()
    entropy = -(jnp.exp(logits) * logits).sum(axis=1).mean()
    return -gain + 0.25 * error - 0.01 * entropy


def train(tx: Any, key: jax.Array, updates: int):
    """The trained state, and after each rollout the mean length of the episodes that ended in it."""

    def act(carry, key):
        state, carts = carry
        choose, moving = jax.random.split(key)
        logits, value = apply(state.params, carts.x)
        action = jax.random.categorical(choose, logits)
        logp = jnp.take_along_axis(logits, action[:, None], axis=1)[:, 0]
        after, done, steps = jax.vmap(move)(jax.random.split(moving, ENVS), carts, action)
        return (state, after), Step(carts.x, action, logp, value, done, jnp.where(done, steps, 0))

    def backwards(carry, step):
        advantage, following = carry
        going = 1.0 - step.done
        delta = 1.0 + GAMMA * following * going - step.value
        advantage = delta + GAMMA * LAMBDA * going * advantage
        return (advantage, step.value), advantage

    def learn(state, batch):
        return state.apply_gradients(grads=jax.grad(loss)(state.params, batch)), None

    def update(carry, key):
        rolling, shuffling = jax.random.split(key)
        (state, carts), steps = jax.lax.scan(act, carry, jax.random.split(rolling, LENGTH))
        last = apply(state.params, carts.x)[1]
        _, advantage = jax.lax.scan(backwards, (jnp.zeros(ENVS), last), steps, reverse=True)
        data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (steps, advantage, advantage + steps.value))

        def epoch(state, key):
            order = jax.random.permutation(key, LENGTH * ENVS).reshape(BATCHES, -1)
            return jax.lax.scan(learn, state, jax.tree.map(lambda x: x[order], data))

        state, _ = jax.lax.scan(epoch, state, jax.random.split(shuffling, EPOCHS))
        return (state, carts), steps.ended.sum() / jnp.maximum((steps.ended > 0).sum(), 1)

    starting, placing, running = jax.random.split(key, 3)
    state = TrainState.create(apply_fn=apply, params=network(starting), tx=tx)
    carts = jax.vmap(reset)(jax.random.split(placing, ENVS))
    (state, _), lengths = jax.lax.scan(update, (state, carts), jax.random.split(running, updates))
    return state, lengths
