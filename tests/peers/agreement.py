"""The trajectories that the peers are compared on: the same gradients, the same 100 steps, float32 and float64."""

import jax
import jax.numpy as jnp
import numpy as np

import gradtx

STEPS = 100
W0 = np.array([-15.0, 20.0, 0.5, 1e-3, -2.0])

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


def gradients() -> np.ndarray:
    """Heavy tails, one entry often 0, one with a single sign, magnitudes from 1e-3 to 1e3; exact in float32."""
    rng = np.random.default_rng(7)
    g = rng.standard_t(2, (STEPS, W0.size)) * [1.0, 10.0, 1e-3, 1.0, 1e2]
    g[:, 3] = np.abs(g[:, 3])
    g[rng.random(STEPS) < 0.3, 0] = 0.0
    return g.astype(np.float32).astype(np.float64)


def ours(tx, dtype=np.float64, w0=W0, gs=None) -> np.ndarray:
    """The parameters after each step, from any (init, update)."""
    with enable_x64(dtype == np.float64):
        w, gs = jnp.asarray(w0, dtype), jnp.asarray(gradients() if gs is None else gs, dtype)

        @jax.jit
        def scan(w, gs):
            def step(carry, g):
                w, state = carry
                u, state = tx.update(g, state, w)
                w = gradtx.apply_updates(w, u)
                return (w, state), w

            return jax.lax.scan(step, (w, tx.init(w)), gs)[1]

        return np.asarray(scan(w, gs))


def steps(trajectory) -> np.ndarray:
    return np.diff(np.asarray(trajectory, np.float64), axis=0, prepend=W0[None])


def same(tx, theirs, *, rtol: float = 1e-10, dtype=np.float64) -> None:
    """Equal steps, entry by entry: to rtol of the step, of the entry's largest step, and of the digits of W0."""
    mine, other = steps(ours(tx, dtype)), steps(theirs)
    scale = np.abs(other) + np.abs(other).max(0) + np.abs(W0) * 1e-5
    worst = np.max(np.abs(mine - other) / scale)
    assert worst <= rtol


def differ(tx, theirs, *, by: float) -> None:
    """Trajectories that are stated to differ: by more than this, relative to the largest step."""
    mine, other = steps(ours(tx)), steps(theirs)
    assert np.max(np.abs(mine - other)) > by * np.max(np.abs(mine))
