"""D-Adaptation against algorithm 5 of its paper."""

import numpy as np
import pytest

import gradtx
from tests.rates.paths import STEPS, W0, along, assert_agrees, assert_scale_free, falls, gradient, stated


def dadapt_loop(w0, lr=1.0, b1=0.9, b2=0.999, eps=1e-8, d0=1e-6, decay=0.0, rate=lambda t: 1.0):
    """Defazio & Mishchenko 2023, algorithm 5."""
    w, d, b3, path = w0.copy(), d0, np.sqrt(b2), []
    m, v, s, r = 0 * w0, 0 * w0, 0 * w0, 0.0
    for t in range(1, STEPS + 1):
        g, step = gradient(t - 1, w), lr * rate(t) * d
        r = b3 * r + (1 - b3) * step * np.dot(g, s / (np.sqrt(v) + eps))
        m = b1 * m + (1 - b1) * step * g
        v = b2 * v + (1 - b2) * g**2
        s = b3 * s + (1 - b3) * step * g
        w = w - m / (np.sqrt(v) + eps) - step * decay * w
        d = max(d, r / ((1 - b3) * np.abs(s).sum()))
        path.append(w)
    return np.array(path)


def corrections(t):
    """Adam's, as a factor of the rate."""
    return np.sqrt(1 - 0.999**t) / (1 - 0.9**t)


@pytest.mark.parametrize("given", [{"d0": 1e-2}, {"d0": 1e-2, "lr": 0.5, "decay": 0.01, "eps": 1e-3}], ids=repr)
def test_dadapt(given):
    words = {"lr": "learning_rate", "decay": "weight_decay", "d0": "estim_lr0"}
    tx = gradtx.dadapt_adamw(**{words.get(k, k): x for k, x in given.items()})
    assert_agrees(tx, lambda w: dadapt_loop(w, **given), stated(gradtx.scale_by_dadapt_adam))


def test_bias_corrections():
    tx = gradtx.dadapt_adamw(estim_lr0=1e-2, bias_correction=True)
    loop = lambda w: dadapt_loop(w, d0=1e-2, rate=corrections)  # noqa: E731
    assert_agrees(tx, loop, stated(gradtx.scale_by_dadapt_adam))


def test_the_objective_times_1000_changes_no_step():
    assert_scale_free(gradtx.dadapt_adamw(eps=0.0, estim_lr0=1e-3, weight_decay=0.1))


def test_no_rate_is_needed():
    path = falls(gradtx.dadapt_adamw(), [1.0, 10.0, 100.0], [1.0, -2.0, 0.5], 3000)
    assert np.linalg.norm(path[-1]) < 0.1


def test_gradients_of_zero_and_huge_ones():
    """First gradients of zero move nothing, and the estimate stays; in optax they make NaN."""

    def estimate(state):
        return state["scale_by_dadapt_adam"].estim_lr

    path, d = along(gradtx.dadapt_adamw(), np.zeros((3, W0.size), np.float32), read=estimate)
    np.testing.assert_array_equal(path, np.broadcast_to(W0, path.shape))
    np.testing.assert_array_equal(d, np.float32(1e-6))
    path, d = along(gradtx.dadapt_adamw(), np.full((9, W0.size), 1e25, np.float32), read=estimate)
    assert np.isfinite(path).all()
    assert np.isfinite(d).all()
    assert d[-1] > 1e-6


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"estim_lr0": 0.0}, "estim_lr0 must be greater than 0"),
        ({"b1": 1.5}, r"b1 must be in \[0, 1\]"),
        ({"b2": 1.0}, r"b2 must be in \[0, 1\)"),
        ({"learning_rate": -1.0}, "learning_rate must be finite and at least 0"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and at least 0"),
    ],
)
def test_numbers_out_of_range(given, word):
    with pytest.raises(ValueError, match=word):
        gradtx.scale_by_dadapt_adam(**given)
