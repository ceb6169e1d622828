"""LaProp against algorithm 1 of its paper, also where the rate follows a schedule."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import laprop
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate
from tests.transforms.agreement import Case, DocumentedAgreement, gradients, run


def algorithm_1(gs, rate, b1, b2, eps=1e-15):
    """The mean of normalised gradients, corrected, times the rate of the step; rate may be a list."""
    m, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        v = b2 * v + (1 - b2) * g * g
        m = b1 * m + (1 - b1) * g / (np.sqrt(v / (1 - b2**t)) + eps)
        out.append(-(rate[t - 1] if isinstance(rate, list) else rate) * m / (1 - b1**t))
    return np.stack(out)


CASES = [
    Case(laprop(0.5), partial(algorithm_1, rate=0.5, b1=0.9, b2=0.999), 60),
    Case(laprop(0.5, 0.95, 0.9), partial(algorithm_1, rate=0.5, b1=0.95, b2=0.9), 60),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(DocumentedAgreement):
    pass


def test_under_a_schedule_a_step_has_the_rate_of_its_own_time():
    gs = gradients()[:200]
    want, size = (algorithm_1(np.float64(x), [rate(t) for t in range(200)], 0.9, 0.999) for x in (gs, np.abs(gs)))
    got, _ = run(laprop(rate), gs)
    assert np.max(np.abs(got - want) / np.maximum(np.abs(size), 1e-30)) < 1e-5


def test_the_rate_of_the_authors_code_is_the_same_where_it_is_constant():
    """There the mean is one of η·g/√v, and is divided by the mean of η."""
    gs, m, w, v = gradients()[:100].astype(np.float64), 0.0, 0.0, 0.0
    want = []
    for t, g in enumerate(gs, 1):
        v = 0.999 * v + 0.001 * g * g
        m, w = 0.9 * m + 0.1 * 0.5 * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-15), 0.9 * w + 0.1 * 0.5
        want.append(-0.5 / w * m)
    np.testing.assert_allclose(algorithm_1(gs, 0.5, 0.9, 0.999), np.stack(want), rtol=1e-12)


def test_no_step_is_longer_than_its_bound():
    """Adam's would be, after a quiet time; the mean is one of g/√v, each at most 1/√(1 - b2)."""
    gs = np.array([[1.0]] * 20 + [[1e6]] + [[1.0]] * 20, np.float32)
    got, _ = run(laprop(1.0, b2=0.9), gs)
    assert np.max(np.abs(got)) <= (1 - 0.9) ** -0.5 + 1e-5
    np.testing.assert_allclose(got[0], -1.0, rtol=1e-6)


def test_chain():
    rms = gradtx.scale_by_rms(0.999, 1e-15, eps_in_sqrt=False, bias_correction=True)
    assert_same_chain(laprop(RATE, weight_decay=0.1), rms, gradtx.ema(0.9), gradtx.add_decayed_weights(0.1), lr(RATE))
    u, _ = (tx := laprop(0.1)).update(jnp.zeros(2), tx.init(jnp.zeros(2)), jnp.zeros(2))
    np.testing.assert_array_equal(u, [0.0, 0.0])


def test_bad_input():
    with pytest.raises(ValueError, match=r"laprop: b2 must be in \[0, 1\)"):
        laprop(0.1, b2=1.0)
