"""How the tests of learnt rates compare a path with that of a float64 loop: the same gradients, the same measure."""

import re

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.reference_averages import ulps
from tests.transforms.agreement import enable_x64

STEPS, WIDTH = 1000, 12
W0 = np.linspace(-3, 3, WIDTH).astype(np.float32)


def gradients(steps: int = STEPS) -> np.ndarray:
    """Those of a slope with heavy noise, exact in float32; one entry is 0 for the first steps."""
    rng = np.random.default_rng(11)
    gs = (rng.standard_t(3, (steps, WIDTH)) + 0.02) * 10.0 ** np.linspace(-2, 1, WIDTH)
    gs[:20, 0] = 0.0
    return gs.astype(np.float32)


def losses(steps: int = STEPS) -> np.ndarray:
    """Positive numbers that fall slowly."""
    rng = np.random.default_rng(12)
    return (np.exp(-np.arange(steps) / 400.0) * rng.uniform(0.5, 1.5, steps)).astype(np.float32)


def walked(tx, gs, w0=W0, values=None, read=lambda state: ()):
    """The parameters after each step, and what `read(state)` says after each."""
    gs, w0 = jnp.asarray(gs), jnp.asarray(w0)
    values = jnp.ones(len(gs), gs.dtype) if values is None else jnp.asarray(values)

    @jax.jit
    def scan(gs, values, w0):
        def step(carry, now):
            w, state = carry
            u, state = tx.update(now[0], state, w, value=now[1])
            w = gradtx.apply_updates(w, u)
            return (w, state), (w, read(state))

        return jax.lax.scan(step, (w0, tx.init(w0)), (gs, values))[1]

    return jax.tree.map(np.asarray, scan(gs, values, w0))


def falls(tx, scale, w0, steps, *, objective=1.0):
    """The parameters on the way down of objective·½·Σ scale·w², with its values and gradients."""
    scale = jnp.asarray(scale, jnp.result_type(float))

    def step(carry, _):
        w, state = carry
        value, g = jax.value_and_grad(lambda w: objective * 0.5 * jnp.sum(scale * w * w))(w)
        u, state = tx.update(g, state, w, value=value)
        w = gradtx.apply_updates(w, u)
        return (w, state), w

    w0 = jnp.asarray(w0, scale.dtype)
    return np.asarray(jax.lax.scan(step, (w0, tx.init(w0)), length=steps)[1])


def assert_agrees(tx, loop, bound, *, values=False):
    """Over 1,000 steps in float32 within the bound, and in float64 to 1e-11 of the largest parameter."""
    gs, fs = gradients(), losses() if values else None
    want = loop(gs.astype(np.float64), W0.astype(np.float64), *([fs.astype(np.float64)] if values else []))
    path, _ = walked(tx, gs, values=fs)
    found = ulps(path, want, np.concatenate([W0[None], want[:-1]]))
    assert found <= bound, found
    with enable_x64(True):
        path, _ = walked(
            tx, gs.astype(np.float64), W0.astype(np.float64), None if fs is None else fs.astype(np.float64)
        )
        assert path.dtype == np.float64
    np.testing.assert_allclose(path, want, rtol=0, atol=1e-11 * np.abs(want).max())


def stated(factory) -> int:
    """The bound that the docstring of a factory states."""
    text = " ".join((factory.factory.body.__doc__ or "").split())
    (bound,) = re.findall(r"ithin (\d+) ulp of the largest parameter so far over 1,000 steps in float32", text)
    return int(bound)


def scaled_paths(tx, *, values=False, steps=300):
    """The paths in float64 for gradients (and losses) as they are, and times 1000."""
    gs, fs = gradients(steps).astype(np.float64), losses(steps).astype(np.float64) if values else None
    with enable_x64(True):
        return [walked(tx, gs * k, W0.astype(np.float64), None if fs is None else fs * k)[0] for k in (1.0, 1000.0)]


def assert_scale_free(tx, *, values=False, bound=1e-12):
    """Multiplying the objective by 1000 changes no step, to this part of the largest parameter."""
    one, other = scaled_paths(tx, values=values)
    assert np.abs(one - one[0]).max() > 1e-4  # it has moved
    np.testing.assert_allclose(other, one, rtol=0, atol=bound * np.abs(one).max())
