"""A writer of checkpoints that is killed: it writes one after another, for ever."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.checkpoint import Checkpoints


def content(step):
    """Trees in which every leaf tells the step."""
    w = {f"layer{i}": jnp.full((100, 50 + i), step, jnp.float32) for i in range(4)}
    return {"params": w, "state": {"count": jnp.int32(step), "key": jax.random.key(step), "host": np.full(999, step)}}


def main(folder):
    """Continue from the newest checkpoint; say which ones are surely there."""
    from tests.checkpoint.forks import say

    with Checkpoints(folder, max_to_keep=2) as checkpoints:
        trees = content(0)  # and with it JAX has started
        start = checkpoints.restore(**trees).step if checkpoints.steps else 0
        say("start", start)
        for step in itertools.count(start + 1):
            checkpoints.save(step, **content(step))
            say("saved", step - 1)  # a save returns when the one before it is complete
