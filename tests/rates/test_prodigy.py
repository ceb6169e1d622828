"""Prodigy against algorithm 4 of its paper."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, chain, rates
from tests.rates.paths import STEPS, W0, along, assert_agrees, assert_scale_free, falls, gradient, stated, walked


def prodigy_loop(w0, lr=1.0, b1=0.9, b2=0.999, eps=1e-8, d0=1e-6, decay=0.0, rate=lambda t: 1.0, steps=STEPS):
    """Mishchenko & Defazio 2023, algorithm 4: the moments are those of d·g."""
    w, d, b3, path = w0.copy(), d0, np.sqrt(b2), []
    m, v, s, r = 0 * w0, 0 * w0, 0 * w0, 0.0
    for t in range(1, steps + 1):
        step, g = lr * rate(t), gradient(t - 1, w)
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d**2 * g**2
        r = b3 * r + (1 - b3) * step * d**2 * np.dot(g, w0 - w)
        s = b3 * s + (1 - b3) * step * d**2 * g
        new = max(d, r / np.abs(s).sum()) if np.any(s) else d
        w = w - step * d * (m / (np.sqrt(v) + d * eps) + decay * w) if np.any(v) else w
        d = new
        path.append(w)
    return np.array(path)


def test_prodigy():
    """From d = 1e-2: a float32 parameter does not change by steps of 1e-6, and what it does not show is not learnt."""
    tx = gradtx.prodigy(estim_lr0=1e-2, weight_decay=0.01)
    assert_agrees(tx, lambda w: prodigy_loop(w, d0=1e-2, decay=0.01), stated(rates.prodigy))


def test_a_schedule_weighs_the_estimate_too():
    def rate(t):
        return 1 / (1 + t / 100)

    tx = gradtx.prodigy(lambda step: rate(1.0 + jnp.asarray(step, float)), estim_lr0=1e-2)
    assert_agrees(tx, lambda w: prodigy_loop(w, d0=1e-2, rate=rate), stated(rates.prodigy))


def test_bias_corrections():
    def rate(t):
        return np.sqrt(1 - 0.999**t) / (1 - 0.9**t)

    tx = gradtx.prodigy(estim_lr0=1e-2, bias_correction=True)
    assert_agrees(tx, lambda w: prodigy_loop(w, d0=1e-2, rate=rate), stated(rates.prodigy))


def test_around_adam_it_is_the_paper():
    """Written out by the user: the rate, and Adam without bias corrections."""
    quotient = gradtx.divide_by_rms(gradtx.ema(0.9, debias=False), 0.999, 0.0, bias_correction=False)
    tx = adapt_learning_rate(chain(quotient, gradtx.scale(-1.0)), rates.prodigy())
    want = prodigy_loop(W0.astype(np.float64), eps=0.0, steps=300)
    np.testing.assert_allclose(walked(tx, np.float64, steps=300)[0], want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tx", [gradtx.prodigy(eps=0.0, estim_lr0=1e-3), gradtx.prodigy(eps=0.0, weight_decay=0.1)])
def test_the_objective_times_1000_changes_no_step(tx):
    assert_scale_free(tx)


def test_no_rate_is_needed():
    """From 1 and from 1000 away; the estimate is about the distance."""
    for far in (1.0, 1e3):
        path = falls(gradtx.prodigy(), [1.0, 10.0, 100.0], far * np.array([1.0, -2.0, 0.5]), 2000)
        assert np.linalg.norm(path[-1]) < 0.1 * far


def test_gradients_of_zero():
    """First gradients of zero move nothing, and the estimate stays; in optax they make NaN."""
    gs = np.concatenate([np.zeros((3, W0.size)), np.ones((5, W0.size))]).astype(np.float32)
    path, d = along(gradtx.prodigy(estim_lr0=1e-2), gs, read=lambda state: state.estimator.estim_lr)
    np.testing.assert_array_equal(path[:3], np.broadcast_to(W0, (3, W0.size)))
    np.testing.assert_array_equal(d[:3], np.float32(1e-2))
    assert np.isfinite(path).all()
    after = along(gradtx.prodigy(estim_lr0=1e-2), np.zeros_like(gs), read=lambda s: s.estimator.estim_lr)[1]
    np.testing.assert_array_equal(after, np.float32(1e-2))


def test_huge_gradients():
    path, d = along(gradtx.prodigy(), np.full((5, 2), 1e25, np.float32), np.ones(2, np.float32), read=lambda s: s.rate)
    assert np.isfinite(path).all()
    assert np.isfinite(d).all()


def test_b3_is_the_root_of_b2():
    assert gradtx.prodigy(b2=0.81).piece.estimator == rates.prodigy(0.9)
    assert gradtx.prodigy(b2=0.81, b3=0.5).piece.estimator == rates.prodigy(0.5)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda: rates.prodigy(1.5), r"b3 must be in \[0, 1\]"),
        (lambda: rates.prodigy(estim_lr0=0.0), "estim_lr0 must be greater than 0"),
        (lambda: rates.prodigy(estim_lr_coef=-1.0), "estim_lr_coef must be greater than 0"),
        (lambda: adapt_learning_rate(gradtx.adam(1.0), rates.prodigy(), per="leaf"), "one rate for all leaves"),
    ],
)
def test_bad_arguments(bad, word):
    with pytest.raises(ValueError, match=word):
        bad()


def test_the_state_has_copies_of_its_own():
    w = jnp.ones(3)
    state = gradtx.prodigy().init(w)
    assert state.estimator.params0.unsafe_buffer_pointer() != w.unsafe_buffer_pointer()
