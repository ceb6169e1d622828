"""How the tests of learnt rates compare a path with that of a float64 loop: the same noisy bowl, the same measure."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from tests.reference_averages import ulps
from tests.transforms.agreement import enable_x64

STEPS, WIDTH = 1000, 12
W0 = np.linspace(-3, 3, WIDTH).astype(np.float32)
CURVES = 2.0 ** np.linspace(-4, 3, WIDTH).round()  # exact in float32, as all that follows
AIM = np.linspace(1, -1, WIDTH).astype(np.float32).astype(np.float64)
NOISE = (np.random.default_rng(11).standard_t(3, (STEPS, WIDTH)) * 0.3).astype(np.float32).astype(np.float64)


def gradient(t, w):
    """That of a bowl around AIM, with noise."""
    return CURVES * (w - AIM) + NOISE[t]


def loss(t, w):
    """The height in the bowl, with noise that is not negative."""
    return 0.5 * np.sum(CURVES * (w - AIM) ** 2) + abs(NOISE[t, 0])


def walked(tx, dtype=np.float32, *, steps=STEPS, objective=1.0, read=lambda state: ()):
    """The parameters after each step in the bowl, and what `read(state)` says after each."""
    numbers = (np.asarray(x, dtype) for x in (W0, CURVES, AIM, NOISE[:steps], objective))
    with enable_x64(dtype == np.float64):
        return jax.tree.map(np.asarray, in_the_bowl(tx, read, *numbers))


@functools.partial(jax.jit, static_argnums=(0, 1))
def in_the_bowl(tx, read, w0, curves, aim, noise, k):
    def step(carry, noise):
        w, state = carry
        value = k * (jnp.sum(curves * (w - aim) ** 2) / 2 + jnp.abs(noise[0]))
        u, state = tx.update(k * (curves * (w - aim) + noise), state, w, value=value)
        w = gradtx.apply_updates(w, u)
        return (w, state), (w, read(state))

    return jax.lax.scan(step, (w0, tx.init(w0)), noise)[1]


def along(tx, gs, w0=W0, value=1.0, read=lambda state: ()):
    """The parameters after each of these gradients, and what `read(state)` says after each."""
    gs, w0 = jnp.asarray(gs), jnp.asarray(w0)

    @jax.jit
    def scan(gs, w0):
        def step(carry, g):
            w, state = carry
            u, state = tx.update(g, state, w, value=value)
            w = gradtx.apply_updates(w, u)
            return (w, state), (w, read(state))

        return jax.lax.scan(step, (w0, tx.init(w0)), gs)[1]

    return jax.tree.map(np.asarray, scan(gs, w0))


def falls(tx, scale, w0, steps, *, objective=1.0):
    """The parameters in float64 on the way down of objective·½·Σ scale·w²."""
    with enable_x64(True):
        return np.asarray(downhill(tx, steps, *(np.asarray(x, float) for x in (scale, w0, objective))))


@functools.partial(jax.jit, static_argnums=(0, 1))
def downhill(tx, steps, scale, w0, objective):
    def step(carry, _):
        w, state = carry
        value = objective * jnp.sum(scale * w * w) / 2
        u, state = tx.update(objective * scale * w, state, w, value=value)
        w = gradtx.apply_updates(w, u)
        return (w, state), w

    return jax.lax.scan(step, (w0, tx.init(w0)), length=steps)[1]


def assert_agrees(tx, loop, bound, *, rtol=1e-11):
    """Over 1,000 steps in float32 within the bound, and in float64 to rtol of the largest parameter."""
    want = loop(W0.astype(np.float64))
    found = ulps(walked(tx)[0], want, np.concatenate([W0[None], want[:-1]]))
    print(f"{tx!r}: {found:.0f} ulp")
    assert found <= bound, found
    path, _ = walked(tx, np.float64)
    assert path.dtype == np.float64
    np.testing.assert_allclose(path, want, rtol=0, atol=rtol * np.abs(want).max())


def stated(factory) -> int:
    """The bound that the docstring of a factory states."""
    text = " ".join((factory.factory.body.__doc__ or "").split())
    (bound,) = re.findall(r"ithin (\d+) ulp of the largest parameter so far over 1,000 steps in float32", text)
    return int(bound)


def assert_scale_free(tx, *, steps=300, bound=1e-12):
    """In float64, multiplying the objective by 1000 changes no step, to this part of the largest parameter."""
    one, other = (walked(tx, np.float64, steps=steps, objective=k)[0] for k in (1.0, 1000.0))
    assert np.abs(one - one[0]).max() > 1e-3  # it has moved
    np.testing.assert_allclose(other, one, rtol=0, atol=bound * np.abs(one).max())
