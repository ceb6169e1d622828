"""AdEMAMix and its simplified form against the algorithms of their papers."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import ademamix, simplified_ademamix
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms.agreement import Case, DocumentedAgreement, gradients, run


def algorithm_1(gs, rate, b1, b2, b3, alpha, eps):
    """Pagliardini et al.: a fast mean, corrected, and a slow one, not corrected; b3 and alpha may be lists."""
    m1, m2, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        slow, factor = (x[t - 1] if isinstance(x, list) else x for x in (b3, alpha))
        m1 = b1 * m1 + (1 - b1) * g
        m2 = slow * m2 + (1 - slow) * g
        v = b2 * v + (1 - b2) * g * g
        u = (m1 / (1 - b1**t) + factor * m2) / (np.sqrt(v / (1 - b2**t)) + eps)
        out.append(-rate * u)
    return np.stack(out)


def simplified(gs, rate, b1, b2, alpha, eps):
    """Morwani et al.: a sum of gradients plus alpha times the present one."""
    s, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        s = b1 * s + g
        v = b2 * v + (1 - b2) * g * g
        out.append(-rate * (s + alpha * g) / (np.sqrt(v / (1 - b2**t)) + eps))
    return np.stack(out)


ADAM = {"rate": 0.5, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
SUM = {"rate": 0.5, "b1": 0.99, "b2": 0.95, "eps": 1e-8}
CASES = [
    Case(ademamix(0.5), partial(algorithm_1, **ADAM, b3=0.9999, alpha=5.0), 60),
    Case(ademamix(0.5, b3=0.99, alpha=8.0), partial(algorithm_1, **ADAM, b3=0.99, alpha=8.0), 60),
    Case(simplified_ademamix(0.5), partial(simplified, **SUM, alpha=0.0), 60),
    Case(simplified_ademamix(0.5, alpha=20.0), partial(simplified, **SUM, alpha=20.0), 60),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(DocumentedAgreement):
    pass


def test_without_the_slow_mean_it_is_adam():
    ours, adam = (np.asarray(run(tx, gradients()[:200])[0]) for tx in (ademamix(0.5, alpha=0.0), gradtx.adam(0.5)))
    np.testing.assert_allclose(ours, adam, rtol=2e-6)


def test_the_simplified_one_without_alpha_is_adam_times_its_weights():
    """100 times the rate at b1 = 0.99."""
    gs = gradients()[:300]
    both = simplified_ademamix(1.0), gradtx.adam(1.0, 0.99, 0.95)
    ours, adam = (np.asarray(run(tx, gs)[0], np.float64) for tx in both)
    weights = (1 - 0.99 ** np.arange(1, 301)[:, None]) / (1 - 0.99)
    np.testing.assert_allclose(ours, adam * weights, rtol=1e-4, atol=1e-4)


def test_alpha_and_the_half_life_of_b3_grow():
    steps = 100
    gs = gradients()[:150]
    alphas = [5.0 * min(t / steps, 1.0) for t in range(150)]
    share = np.minimum(np.arange(150) / steps, 1.0)
    b3s = list(0.5 ** (1 / ((1 - share) * np.log(0.5) / np.log(0.9) + share * np.log(0.5) / np.log(0.999))))
    want, size = (algorithm_1(np.float64(x), 1.0, 0.9, 0.999, b3s, alphas, 1e-8) for x in (gs, np.abs(gs)))
    b3 = gradtx.half_life_schedule(0.9, 0.999, steps)
    got, state = run(ademamix(1.0, b3=b3, alpha=gradtx.linear_schedule(0.0, 5.0, steps)), gs)
    assert np.max(np.abs(got - want) / np.maximum(np.abs(size), 1e-3)) < 1e-4
    assert sorted(k.rpartition("/")[2] for k in gradtx.hyperparameters(state)) == ["decay", "step_size"]


def test_chain():
    means = gradtx.add(fast=gradtx.ema(0.9), slow=gradtx.chain(gradtx.ema(0.9999, debias=False), gradtx.scale(5.0)))
    decay = gradtx.add_decayed_weights(0.0)
    assert_same_chain(ademamix(RATE), gradtx.divide_by_rms(means), decay, lr(RATE))
    state = ademamix(RATE).init(jnp.ones(2))["divide_by_rms"]
    assert state.inner.keys() == {"fast", "slow"}


def test_bad_input():
    for make, words in [
        (lambda: ademamix(0.1, b3=1.0), r"ademamix: b3 must be in \[0, 1\)"),
        (lambda: ademamix(0.1, alpha=-1.0), "ademamix: alpha must be finite and at least 0"),
        (lambda: simplified_ademamix(0.1, b1=1.5), r"simplified_ademamix: b1 must be in \[0, 1\]"),
    ]:
        with pytest.raises(ValueError, match=words):
            make()
