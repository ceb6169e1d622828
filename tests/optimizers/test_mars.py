"""MARS-AdamW against its paper's approximate form."""

import numpy as np

import gradtx
from gradtx import mars
from tests.double import enable_x64
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms.agreement import gradients, run, ulps


def approximate(gs, rate, b1=0.95, b2=0.99, eps=1e-8, gamma=0.025):
    """c = g + gamma·b1/(1 - b1)·(g - g'), cut to a norm of 1; Adam on c. The previous gradient begins at the first."""
    m, v, last, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), gs[0], []
    for t, g in enumerate(gs, 1):
        c = g + gamma * b1 / (1 - b1) * (g - last)
        c = c / max(1.0, np.sqrt(np.sum(c * c)))
        m, v, last = b1 * m + (1 - b1) * c, b2 * v + (1 - b2) * c * c, g
        out.append(-rate * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
    return np.stack(out)


MODERATE = gradients()[:, [0, 1, 2, 3, 4, 5, 6, 7, 43, 44, 45]]


def test_1000_steps():
    """A step of Adam is about the rate: the errors are judged by that, since a corrected gradient may be near 0."""
    want = approximate(MODERATE.astype(np.float64), 0.5)
    got, _ = run(mars(0.5, weight_decay=0.0), MODERATE)
    assert ulps(got, want, np.full_like(want, 0.5)) <= 200
    assert "Within 200 ulp of the rate over 1,000 steps in float32" in " ".join(mars.__doc__.split())


def test_float64():
    with enable_x64(True):
        gs = MODERATE[:300].astype(np.float64)
        got, _ = run(mars(0.5, weight_decay=0.0), gs)
        np.testing.assert_allclose(got, approximate(gs, 0.5), rtol=1e-11, atol=1e-12)


def test_without_the_correction_it_is_adamw_behind_a_bound():
    bounded = gradtx.chain(gradtx.clip_by_leaf_norm(1.0), gradtx.adam(0.5, 0.95, 0.99))
    got, want = (np.asarray(run(tx, MODERATE)[0]) for tx in (mars(0.5, gamma=0.0, weight_decay=0.0), bounded))
    np.testing.assert_array_equal(got, want)


def test_a_constant_gradient_is_not_corrected():
    gs = np.full((20, 2), 0.25, np.float32)
    got, want = (np.asarray(run(tx, gs)[0]) for tx in (mars(0.5, weight_decay=0.0), gradtx.adam(0.5, 0.95, 0.99)))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_chain():
    parts = gradtx.reduce_variance(0.025, 0.95), gradtx.scale_by_adam(0.95, 0.99), gradtx.add_decayed_weights(0.0)
    assert_same_chain(mars(RATE), *parts, lr(RATE))
