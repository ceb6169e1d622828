"""QHAdam against algorithm 2 of its paper, with ν₂ = 1."""

from functools import partial

import numpy as np
import pytest

import gradtx
from gradtx import qhadam
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms.agreement import Case, DocumentedAgreement, gradients, run


def algorithm_2(gs, rate, b1, b2, eps, nu):
    m, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        u = ((1 - nu) * g + nu * m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        out.append(-rate * u)
    return np.stack(out)


CASES = [
    Case(qhadam(0.5), partial(algorithm_2, rate=0.5, b1=0.995, b2=0.999, eps=1e-8, nu=0.7), 60),
    Case(qhadam(0.5, 0.9, 0.99, nu=0.2), partial(algorithm_2, rate=0.5, b1=0.9, b2=0.99, eps=1e-8, nu=0.2), 60),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(DocumentedAgreement):
    pass


def test_between_adam_and_rmsprop():
    gs = gradients()[:200]
    pairs = [
        (qhadam(0.5, 0.9, nu=1.0), gradtx.adam(0.5)),
        (qhadam(0.5, nu=0.0), gradtx.rmsprop(0.5, 0.999, bias_correction=True, eps_in_sqrt=False)),
    ]
    for tx, end in pairs:
        np.testing.assert_allclose(run(tx, gs)[0], run(end, gs)[0], rtol=2e-6)


def test_nu_follows_a_schedule():
    gs = gradients()[:50]
    got, _ = run(qhadam(0.5, nu=gradtx.linear_schedule(0.0, 1.0, 10)), gs)
    first, last = (run(qhadam(0.5, nu=nu), gs)[0] for nu in (0.0, 1.0))
    np.testing.assert_allclose(got[0], first[0], rtol=1e-6)
    np.testing.assert_allclose(got[10:], last[10:], rtol=1e-5)


def test_chain():
    numerator = gradtx.add(mean=gradtx.chain(gradtx.ema(0.995), gradtx.scale(0.7)), now=gradtx.scale(1.0 - 0.7))
    decay = gradtx.add_decayed_weights(0.0)
    assert_same_chain(qhadam(RATE), gradtx.divide_by_rms(numerator), decay, lr(RATE))


@pytest.mark.parametrize("nu", [-0.1, 1.5])
def test_bad_input(nu):
    with pytest.raises(ValueError, match=r"qhadam: nu must be in \[0, 1\]"):
        qhadam(0.1, nu=nu)
