"""SPAM, Stable-SPAM and their pieces against their algorithms in float64, on gradients with spikes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import clip_by_running_max, scale_by_running_norm, scale_by_spam, spam, stable_spam
from tests.reference_averages import assert_path_is
from tests.transforms import agreement
from tests.transforms.agreement import enable_x64, gradients

W0 = np.linspace(-3, 3, 48).reshape(6, 8).astype(np.float32)
RANDOM = np.random.default_rng(5)
SPIKES = np.where(RANDOM.random((1000, 6, 8)) < 0.01, 300, 1) * (0.1 + 0.9 * RANDOM.random((1000, 6, 8)))
GS = (SPIKES * RANDOM.choice([-1.0, 1.0], (1000, 6, 8))).astype(np.float32)


def spam_loop(gs, w, eta, lam, theta, quiet, every, warmup, b1=0.9, b2=0.999, eps=1e-8):
    """Clip against v, Adam, and zeros for m and v every few steps, with smaller steps then."""
    m = v = np.zeros_like(w)
    clipped = 0
    for t, g in enumerate(gs):
        if t and t % every == 0:
            m = v = np.zeros_like(w)
        n = t % every + 1
        spike = (g * g > theta * v) & (v > 0) & (n > quiet)
        clipped += spike.sum()
        g = np.where(spike, np.sign(g) * np.sqrt(theta * v), g)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        u = m / (1 - b1**n) / (np.sqrt(v / (1 - b2**n)) + eps)
        c = 0.5 * (1 - np.cos(np.pi * n / warmup)) if t >= every and n < warmup else 1.0
        w = w - eta * (c * u + lam * w)
        yield w
    assert clipped > 50


def clipped_by_max(gs, decay):
    largest = 0.0
    for t, g in enumerate(gs, 1):
        largest = decay * largest + (1 - decay) * np.abs(g).max()
        bound = largest / (1 - decay**t)
        yield np.where(np.abs(g) > bound, g * (bound / np.abs(g).max()), g)


def scaled_by_norm(gs, b1, b2, eps):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        norm = np.sqrt(np.sum(g * g))
        m, v = b1 * m + (1 - b1) * norm, b2 * v + (1 - b2) * norm**2
        yield g / norm * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


def stable_loop(gs, w, eta, lam, every, b1=0.9, b2=0.999, eps=1e-8):
    m = v = np.zeros_like(w)
    for t, g in enumerate(scaled_by_norm(clipped_by_max(gs, 0.999), 0.7, 0.9, 1e-6)):
        if t and t % every == 0:
            m = v = np.zeros_like(w)
        n = t % every + 1
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - eta * (m / (1 - b1**n) / (np.sqrt(v / (1 - b2**n)) + eps) + lam * w)
        yield w


CASES = {
    "spam": (spam(0.003, threshold=500.0, weight_decay=0.01), spam_loop, (0.003, 0.01, 500.0, 20, 500, 150)),
    "spam often": (spam(0.003, threshold=500.0, every=90, warmup=9), spam_loop, (0.003, 0.0, 500.0, 20, 90, 9)),
    "stable_spam": (stable_spam(0.003, weight_decay=0.01, every=300), stable_loop, (0.003, 0.01, 300)),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    tx, loop, arguments = CASES[name]
    assert_path_is(tx, np.stack(list(loop(GS.astype(np.float64), W0.astype(np.float64), *arguments))), GS, W0)


PIECES = {
    "max": (clip_by_running_max(), lambda gs: clipped_by_max(gs, 0.999)),
    "max short": (clip_by_running_max(0.5), lambda gs: clipped_by_max(gs, 0.5)),
    "norm": (scale_by_running_norm(), lambda gs: scaled_by_norm(gs, 0.7, 0.9, 1e-6)),
}


@pytest.mark.parametrize("gs", [GS, gradients().reshape(-1, 6, 8)], ids=["spikes", "heavy tails"])
@pytest.mark.parametrize("name", PIECES)
def test_pieces(name, gs):
    """In float32 within what the docstring says, of the largest entry of a leaf; in float64 to 1e-12."""
    tx, loop = PIECES[name]
    want = np.stack(list(loop(gs.astype(np.float64))))
    (bound,) = re.findall(r"ithin (\d+) ulp of exact arithmetic", " ".join(tx.made_by.__doc__.split()))
    size = np.broadcast_to(np.abs(want).max((1, 2))[:, None, None], want.shape)
    off = agreement.ulps(agreement.run(tx, gs)[0], want, size)
    assert off <= int(bound)
    with enable_x64(True):
        got, _ = agreement.run(tx, gs[:300].astype(np.float64))
    assert np.all(np.abs(np.asarray(got) - want[:300]) <= 1e-12 * size[:300])


def test_scale_by_spam_without_spikes_is_adam():
    """Within the bound that the docstring states, against the loop of Adam."""
    gs = np.sign(GS) * np.float32(0.5)
    np.testing.assert_array_equal(agreement.run(scale_by_spam(), gs)[0], agreement.run(gradtx.scale_by_adam(), gs)[0])


def test_a_spike_is_clipped_after_the_quiet_steps():
    """v = 1 - 0.5³ = 0.875 after three ones: 100 counts as √(16·0.875), at the fourth step and not before."""
    tx = scale_by_spam(0.0, 0.5, 0.0, threshold=16.0, quiet=3)
    for ones, counted in ((3, np.sqrt(16 * 0.875)), (2, 100.0)):
        state = tx.init(jnp.zeros(1))
        for _ in range(ones):
            _, state = tx.update(jnp.ones(1), state)
        np.testing.assert_allclose(tx.update(jnp.full(1, -100.0), state)[1].mu, [-counted], rtol=1e-6)


def test_an_entry_that_was_always_zero_is_not_clipped():
    tx = scale_by_spam(quiet=0)
    state = tx.init(jnp.zeros(1))
    for g in (0.0, 0.0, 3.0):
        u, state = tx.update(jnp.full(1, g), state)
    assert float(u[0]) > 0.1


def test_infinite_and_nan_gradients_leave_the_running_maximum():
    tx = clip_by_running_max(0.5)
    _, state = tx.update(jnp.array([2.0, -1.0]), tx.init(jnp.zeros(2)))
    for bad in (jnp.inf, jnp.nan):
        u, after = tx.update(jnp.array([bad, 1.0]), state)
        np.testing.assert_array_equal(u, [bad, 1.0])
        np.testing.assert_array_equal(after.largest, state.largest)


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, np.nan]], ids=str)
@pytest.mark.parametrize("tx", [clip_by_running_max(), scale_by_running_norm()], ids=repr)
def test_infinite_and_nan_gradients_pass_and_do_not_count(tx, bad):
    """At the first step and later; the updates of the others are those without them, also in another leaf."""
    gs = np.outer([1.0, 2.0, 3.0, 0.5], [1.0, -0.5]).astype(np.float32)
    with_bad = np.insert(gs, [0, 2, 2], np.float32(bad), axis=0)
    got = np.asarray(agreement.run(tx, with_bad)[0])
    np.testing.assert_array_equal(got[[0, 3, 4]], with_bad[[0, 3, 4]])
    want, _ = agreement.run(tx, gs)
    np.testing.assert_allclose(got[[1, 2, 5, 6]], want, rtol=1e-6)
    both, state = {"a": jnp.asarray(bad, jnp.float32), "b": jnp.asarray(gs[0])}, tx.init({"a": gs[0], "b": gs[0]})
    _, state = tx.update(both, state)
    got, _ = tx.update({"a": gs[0], "b": gs[1]}, state)
    np.testing.assert_allclose(got["a"], want[0], rtol=1e-6)
    np.testing.assert_allclose(got["b"], want[1], rtol=1e-6)


def test_the_first_clip_after_a_nan():
    """M̂ is the mean of what was seen: 1, then (0.999·1 + 2)/1.999, and no more than g."""
    us, _ = agreement.run(clip_by_running_max(), np.array([[np.nan], [1.0], [2.0]], np.float32))
    np.testing.assert_allclose(us[1:, 0], [1.0, 2.999 / 1.999], rtol=1e-6)


def test_stable_spam_recovers_from_a_nan_at_its_restart():
    gs = np.ones((7, 2), np.float32)
    gs[1] = np.nan
    tx, w = stable_spam(0.1, every=3), jnp.zeros(2)
    state, us = tx.init(w), []
    for g in gs:
        u, state = tx.update(jnp.asarray(g), state, w)
        us.append(float(u[0]))
    np.testing.assert_allclose(us[3:], -0.1, rtol=1e-5)


@pytest.mark.parametrize(
    "tx", [clip_by_running_max(), scale_by_running_norm(), scale_by_spam(), stable_spam(0.1)], ids=repr
)
def test_zeros_are_finite(tx):
    u, _ = tx.update(jnp.zeros(3), tx.init(jnp.ones(3)), jnp.ones(3))
    assert np.isfinite(u).all()


def test_split_leaves():
    """With axis_name, maxima and norms are those of all parts."""
    g = jnp.asarray(GS[:2].reshape(2, 48))
    for tx in (clip_by_running_max(0.5), scale_by_running_norm()):
        _, state = tx.update(g, tx.init(g))
        whole, _ = tx.update(3 * g, state)
        update = tx.replace(axis_name="parts").update
        parts, _ = jax.jit(jax.vmap(update, in_axes=(0, None), axis_name="parts"))(3 * g, state)
        np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_hostile():
    with pytest.raises(ValueError, match="threshold must be"):
        spam(0.1, threshold=0.5)
    with pytest.raises(ValueError, match="quiet must be"):
        spam(0.1, quiet=-1)
    with pytest.raises(TypeError, match="warmup must be a whole number"):
        spam(0.1, warmup=0.5)
    with pytest.raises(ValueError, match=r"max_decay must be in \[0, 1\)"):
        stable_spam(0.1, max_decay=1.0)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
        clip_by_running_max(1.0)
    with pytest.raises(TypeError, match="axis_name must be"):
        scale_by_running_norm(axis_name=1)
