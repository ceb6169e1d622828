"""The updates of a transformation along a given path of parameters and gradients, in one scan."""

import functools

import jax
import jax.numpy as jnp


@functools.cache
def scan(tx, traced_in):
    @jax.jit
    def all_steps(ws, gs):
        def step(state, row):
            w, g = row
            u, state = tx.update(g, state, w)
            return state, u

        return jax.lax.scan(step, tx.init(jax.tree.map(lambda x: x[0], ws)), (ws, gs))[::-1]

    return all_steps


def run(tx, ws, gs):
    """The updates of all steps, given the parameters, and the last state."""
    return scan(tx, jax.config.jax_enable_x64)(*jax.tree.map(jnp.asarray, (ws, gs)))
