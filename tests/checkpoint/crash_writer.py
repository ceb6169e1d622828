"""A writer of checkpoints that is killed, again and again: each line on its input forks one that writes for ever.

It forks before JAX and Orbax have started a thread, so that each writer is a fresh process without their imports' cost.
"""

import itertools
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.checkpoint import Checkpoints


def content(step):
    """Trees in which every leaf tells the step."""
    w = {f"layer{i}": jnp.full((100, 50 + i), step, jnp.float32) for i in range(4)}
    return {"params": w, "state": {"count": jnp.int32(step), "key": jax.random.key(step), "host": np.full(999, step)}}


def say(*words):
    """A line in one write, so that none is cut in two by a kill."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def write(folder):
    """Go on from the newest checkpoint, and write one after another; say which ones are surely there."""
    with Checkpoints(folder, max_to_keep=2) as checkpoints:
        trees = content(0)  # and with it JAX has started
        start = checkpoints.restore(**trees).step if checkpoints.steps else 0
        say("start", start)
        for step in itertools.count(start + 1):
            checkpoints.save(step, **content(step))
            say("saved", step - 1)  # a save returns after the one before it is whole


def main():
    import orbax.checkpoint  # noqa: F401

    say("warm")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say("pid", os.getpid())
            write(line.strip())
            os._exit(1)
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
