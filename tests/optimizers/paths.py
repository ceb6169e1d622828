"""For optimizers whose steps depend on the parameters: their path, and its error relative to how far they moved."""

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.double import enable_x64
from tests.transforms import agreement

W0 = np.linspace(-3.0, 3.0, 48).astype(np.float32)


def path(tx, gs, w0, dtype=np.float32, **extra):
    """The parameters after each step under given gradients, in one scan."""
    with enable_x64(dtype == np.float64):
        gs, w0 = jnp.asarray(gs, dtype), jnp.asarray(w0, dtype)

        @jax.jit
        def scan(gs, w0):
            def step(carry, g):
                w, state = carry
                u, state = tx.update(g, state, w, **extra)
                w = gradtx.apply_updates(w, u)
                return (w, state), w

            return jax.lax.scan(step, (w0, tx.init(w0)), gs)[1]

        return np.asarray(scan(gs, w0), np.float64)


def error(tx, loop, dtype=np.float32, **extra):
    """The largest error over 1,000 steps (300 in float64), relative to the parameters and to the way that they went."""
    gs = agreement.gradients()[: 1000 if dtype == np.float32 else 300]
    want = loop(gs.astype(np.longdouble), W0.astype(np.longdouble)).astype(np.float64)
    way = np.abs(W0) + np.cumsum(np.abs(np.diff(want, axis=0, prepend=W0[None].astype(np.float64))), axis=0)
    return float(np.max(np.abs(path(tx, gs, W0, dtype, **extra) - want) / (way + np.abs(want))))


def matrix_gradients(shape, seed=0):
    """1,000 gradients whose size changes from step to step, and whose spectrum falls."""
    random = np.random.default_rng(seed)
    mix = np.linalg.qr(random.normal(size=(shape[0], shape[0])))[0] * np.exp(-0.4 * np.arange(shape[0]))
    return (mix @ random.normal(size=(1000, *shape)) * np.exp(random.normal(size=(1000, 1, 1)))).astype(np.float32)


def updates_of(tx, g):
    """The updates of every step, with parameters of zero."""
    w = jnp.zeros(g.shape[1:])
    run = jax.jit(lambda state: jax.lax.scan(lambda s, g: tx.update(g, s, w)[::-1], state, jnp.asarray(g)))
    return np.asarray(run(tx.init(w))[1])
