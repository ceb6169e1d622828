"""Adafactor against algorithms 4 and 5 of Shazeer & Stern, its dialects, and the size of its steps and its state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adafactor, moments
from tests.moments.test_moments import matrices
from tests.optimizers.chains import assert_same_chain
from tests.transforms import agreement
from tests.transforms.agreement import enable_x64, gradients, run

ALL = moments.factored()  # matrices of any size
W = np.linspace(-2, 3, 48, dtype=np.float32)


def paper(gs, w, rate=1e-2, power=0.8, d=1.0, b1=None, least=1e-3, eps=1e-30, relative=True, decay=0.0):
    """The steps at parameters that stay at w."""
    r = c = v = m = 0
    for t, g in enumerate(gs, 1):
        b, squares = 1 - t**-power, g * g + eps
        if g.ndim == 2:
            r, c = b * r + (1 - b) * squares.mean(1), b * c + (1 - b) * squares.mean(0)
            v = np.outer(r, c) / r.mean()
        else:
            v = b * v + (1 - b) * squares
        u = g / np.sqrt(v)
        u = u / max(1, np.sqrt(np.mean(u * u)) / d)
        u = u * max(least, np.sqrt(np.mean(w * w))) if least else u
        m = u if b1 is None else b1 * m + (1 - b1) * u
        yield -(min(rate, t**-0.5) if relative else rate) * (m + decay * w)


CASES = {
    "matrix": (adafactor(moment=ALL), (6, 8), {}),
    "vector": (adafactor(moment=ALL), (48,), {}),
    "a larger rate": (
        adafactor(0.3, decay_rate=0.5, clipping_threshold=0.7, moment=ALL),
        (6, 8),
        {"rate": 0.3, "power": 0.5, "d": 0.7},
    ),
    "momentum and decay": (
        adafactor(0.1, momentum=0.9, relative_step=False, weight_decay=0.1, moment=ALL),
        (6, 8),
        {"rate": 0.1, "b1": 0.9, "relative": False, "decay": 0.1},
    ),
    "no parameter scale": (adafactor(multiply_by_parameter_scale=False, moment=ALL), (6, 8), {"least": None}),
}


@functools.cache
def walked(name, dtype):
    tx, shape, arguments = CASES[name]
    gs, w = (gradients() if len(shape) == 1 else matrices()), W.reshape(shape)
    want = np.stack([*paper(gs.astype(np.float64), w.astype(np.float64), **arguments)])
    with enable_x64(dtype == "float64"):
        return np.asarray(run(tx, gs.astype(dtype), jnp.asarray(w, dtype))[0]), want


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    got, want = walked(name, "float32")
    size = np.abs(want) if "momentum" not in name else np.broadcast_to(np.abs(want).max(0), want.shape)
    assert agreement.ulps(got, want, size) <= 150
    assert "Within 150 ulp of exact arithmetic over 1,000" in " ".join(adafactor.factory.body.__doc__.split())


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    got, want = walked(name, "float64")
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12 * np.abs(want).max())


def test_chain():
    from gradtx.optimizers.adafactor import at_most_inverse_sqrt, growing_decay

    assert_same_chain(
        adafactor(
            0.1, decay_rate=0.7, clipping_threshold=2.0, momentum=0.9, min_scale=1e-2, weight_decay=0.1, moment=ALL
        ),
        gradtx.scale_by_rms(growing_decay(0.7), 0.0, moment=ALL),
        gradtx.clip_by_block_rms(2.0),
        gradtx.scale_by_param_block_rms(1e-2),
        gradtx.ema(0.9, debias=False),
        gradtx.add_decayed_weights(0.1),
        gradtx.scale_by_learning_rate(at_most_inverse_sqrt(0.1)),
    )


def test_the_weight_of_the_past():
    """0 in the first step, so that v is g²; the figures of steps 2, 10 and 1000."""
    from gradtx.optimizers.adafactor import growing_decay

    decay = growing_decay(0.8)
    assert [round(float(decay(t - 1)), 3) for t in (1, 2, 10, 1000)] == [0.0, 0.426, 0.842, 0.996]


def test_the_first_step_of_a_product_of_vectors_is_its_sign():
    rng = np.random.default_rng(0)
    g = np.outer(rng.normal(size=200), rng.normal(size=150)).astype(np.float32)
    tx = adafactor(1.0, multiply_by_parameter_scale=False)
    np.testing.assert_allclose(jax.jit(tx.update)(g, tx.init(g))[0], -np.sign(g), rtol=1e-5)


def test_steps_are_a_share_of_the_parameters():
    """ρ times the root mean square of each leaf: the same relative step for a leaf a thousand times larger."""
    params = {"small": jnp.full((4, 4), 1e-2), "large": jnp.full((4, 4), 10.0), "zero": jnp.zeros((4, 4))}
    g = jax.tree.map(jnp.ones_like, params)
    tx = adafactor(1e-2)
    u, _ = tx.update(g, tx.init(params), params)
    for name, step in {"small": 1e-4, "large": 0.1, "zero": 1e-5}.items():
        np.testing.assert_allclose(u[name], -step, rtol=1e-5)


def test_the_rate_of_one_over_the_root_of_time():
    w, states, rates = jnp.ones((2, 2)), None, []
    tx = adafactor(0.5, multiply_by_parameter_scale=False)
    state = tx.init(w)
    for _ in range(9):
        _, state = tx.update(w, state)
        rates.append(float(gradtx.hyperparameters(state)["learning_rate"]))
    np.testing.assert_allclose(rates, [0.5] * 4 + [t**-0.5 for t in range(5, 10)], rtol=1e-6)
    assert states is None


def test_hugging_face_s_warm_up():
    """min(1e-6·t, 1/√t)."""
    tx = adafactor(lambda step: 1e-6 * (step + 1.0), multiply_by_parameter_scale=False)
    w = jnp.ones(2)
    state = gradtx.set_count(tx.init(w), 999)
    u, _ = tx.update(w, state)
    assert float(gradtx.hyperparameters(tx.update(w, state)[1])["learning_rate"]) == pytest.approx(1e-3)
    assert np.all(np.isfinite(u))


def test_bytes_of_the_state():
    params = {"w": jax.ShapeDtypeStruct((1024, 512), jnp.float32), "b": jax.ShapeDtypeStruct((512,), jnp.float32)}
    state = jax.eval_shape(adafactor().init, params)
    numbers = sum(x.size for x in jax.tree.leaves(state))
    assert numbers <= 1024 + 512 + 512 + 8


@pytest.mark.parametrize("zero", [0.0, 1e25])
def test_zero_and_huge_gradients(zero):
    w = {"w": jnp.ones((3, 4)), "b": jnp.zeros(3)}
    tx = adafactor(moment=ALL)
    update = jax.jit(tx.update)
    u, state = update(jax.tree.map(lambda p: np.full_like(p, zero), w), tx.init(w), w)
    u, _ = update(jax.tree.map(np.ones_like, w), state, w)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((u, state)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="adafactor: learning_rate must be"):
        adafactor(-1.0)
    with pytest.raises(ValueError, match="threshold must be"):
        adafactor(clipping_threshold=-1.0)
    with pytest.raises(TypeError, match="decay_rate is read once and cannot follow a schedule"):
        adafactor(decay_rate=lambda t: t)


def test_the_size_of_the_parameters():
    """The factor alone, in float32; it overflows nowhere."""
    tx, gs = gradtx.scale_by_param_block_rms(1e-3), gradients()
    for w in (W, W * 1e-30, W * np.float32(1e30)):
        small = gs * np.float32(1e-18)
        want = small.astype(np.float64) * max(1e-3, np.sqrt(np.mean(w.astype(np.float64) ** 2)))
        assert agreement.ulps(run(tx, small, jnp.asarray(w))[0], want, np.abs(want)) <= 4
    huge = jnp.full(3, 1e30)
    np.testing.assert_array_equal(tx.update(huge, tx.init(huge), huge)[0], np.finfo(np.float32).max)
