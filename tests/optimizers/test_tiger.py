"""Tiger: the sign of a mean, as Lion with one weight of the past."""

import numpy as np
import pytest

import gradtx
from gradtx import tiger
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms.agreement import gradients, run


def loop(gs, w, rate, decay, weight_decay):
    """Su's update without the size of the parameters: m, its sign, decay; also the terms that are summed in m."""
    m, terms, path, clear = np.zeros_like(gs[0]), np.zeros_like(gs[0]), [], []
    for g in gs:
        m, terms = decay * m + (1 - decay) * g, decay * terms + (1 - decay) * np.abs(g)
        path.append(-rate * (np.sign(m) + weight_decay * w))
        clear.append((np.abs(m) >= 1e-6 * terms) & ((np.abs(m) > 1e-37) | (terms == 0)))
    return np.stack(path), np.stack(clear)


@pytest.mark.parametrize("decay", [0.965, 0.5])
def test_1000_steps(decay):
    """To 2 ulp where the sum under the sign is above 1e-6 of its terms, which is all but a few entries."""
    gs, w = gradients(), np.linspace(-1, 1, 48, dtype=np.float32)
    want, clear = loop(gs.astype(np.float64), w.astype(np.float64), 0.5, decay, 0.01)
    got = np.asarray(run(tiger(0.5, decay), gs, w)[0])
    np.testing.assert_allclose(got[clear], want[clear], rtol=2.5e-7)
    assert clear.mean() > 0.97


def test_it_is_lion_with_one_weight():
    gs = gradients()[:200]
    got, lion = (np.asarray(run(tx, gs)[0]) for tx in (tiger(0.5, weight_decay=0.0), gradtx.lion(0.5, 0.965, 0.965)))
    assert np.mean(got == lion) > 0.999


def test_steps_in_proportion_to_the_parameters():
    """As its docstring says: with a trust ratio behind the sign, a step is the rate times RMS(w)."""
    parts = gradtx.ema(0.965, debias=False), gradtx.scale_by_sign(), gradtx.scale_by_trust_ratio(), lr(0.1)
    tx, w = gradtx.chain(*parts), np.array([3.0, -4.0, 0.0, 5.0], np.float32)
    u, _ = tx.update(np.ones(4, np.float32), tx.init(w), w)
    np.testing.assert_allclose(u, np.full(4, -0.1 * np.sqrt(np.mean(w**2))), rtol=1e-6)


def test_chain():
    parts = gradtx.ema(0.965, debias=False), gradtx.scale_by_sign(), gradtx.add_decayed_weights(0.01)
    assert_same_chain(tiger(RATE), *parts, lr(RATE))
