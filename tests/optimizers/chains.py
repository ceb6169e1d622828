"""Whether a recipe is the chain that its docstring names."""

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

RATE = 0.05
lr = gradtx.scale_by_learning_rate


def rate(step):
    """A schedule."""
    return 0.1 / (1 + step)


def trajectory(tx, steps=8):
    """Parameters along a quadratic, and the last state; in one scan."""
    w = {"a": jnp.array([-15.0, 20.0]), "b": jnp.array(0.5)}

    @jax.jit
    def scan(w):
        def step(carry, _):
            w, state = carry
            g = {"a": jnp.array([6.0, 20.0]) * w["a"], "b": w["b"]}
            u, state = tx.update(g, state, w)
            w = gradtx.apply_updates(w, u)
            return (w, state), w

        (_, state), ws = jax.lax.scan(step, (w, tx.init(w)), length=steps)
        return ws, state

    return scan(w)


def assert_same_chain(recipe, *members):
    """Bit for bit, states and all, with the same names in the state."""
    got, want = trajectory(recipe), trajectory(gradtx.chain(*members))
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)
