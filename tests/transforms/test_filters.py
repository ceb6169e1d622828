"""The filters against their formulas in float64, at their neutral settings, and in the first step."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import amplify_slow, nesterov_ema, reduce_variance, scale_by_optimistic_gradient
from tests.double import enable_x64
from tests.transforms.agreement import Case, DocumentedAgreement, gradients, run


def looked_ahead(gs, decay):
    """m = decay·m + (1 - decay)·g; u the same once more."""
    m, out = np.zeros_like(gs[0]), []
    for g in gs:
        m = decay * m + (1 - decay) * g
        out.append(decay * m + (1 - decay) * g)
    return np.stack(out)


def corrected(gs, gamma, decay, max_norm):
    """Yuan et al.: c = g + gamma·decay/(1 - decay)·(g - g'), bounded in norm; g' = g at the first step."""
    last, out = gs[0], []
    for g in gs:
        c = g + gamma * decay / (1 - decay) * (g - last)
        out.append(c / max(1.0, np.sqrt(np.sum(c * c)) / max_norm))
        last = g
    return np.stack(out)


def grokfast(gs, decay, factor):
    """Lee et al.: m begins at the first g; u = g + factor·m."""
    m, out = gs[0], []
    for g in gs:
        m = decay * m + (1 - decay) * g
        out.append(g + factor * m)
    return np.stack(out)


def optimistic(gs, alpha, beta):
    """(alpha + beta)·g - beta·g', with g' = g at the first step."""
    return (alpha + beta) * gs - beta * np.concatenate([gs[:1], gs[:-1]])


CASES = [
    Case(nesterov_ema(0.95), lambda gs: looked_ahead(gs, 0.95), 60),
    Case(nesterov_ema(0.3), lambda gs: looked_ahead(gs, 0.3), 60),
    Case(amplify_slow(0.98, 2.0), lambda gs: grokfast(gs, 0.98, 2.0), 30),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestMeans(DocumentedAgreement):
    pass


# Where neighbouring gradients are subtracted, the largest of the terms is the measure.
SUBTRACT = {
    "optimistic": (scale_by_optimistic_gradient(0.5, 2.0), lambda gs: optimistic(gs, 0.5, 2.0)),
    "variance": (reduce_variance(0.025, 0.95, np.inf), lambda gs: corrected(gs, 0.025, 0.95, np.inf)),
}


@pytest.mark.parametrize("name", SUBTRACT)
def test_differences_over_1000_steps(name):
    tx, reference = SUBTRACT[name]
    gs = gradients()
    terms = np.maximum(np.abs(gs), np.abs(np.concatenate([gs[:1], gs[:-1]]))).astype(np.float64)
    unit = np.maximum(np.spacing(terms.astype(np.float32)), np.finfo(np.float32).tiny)
    error = np.abs(np.asarray(run(tx, gs)[0], np.float64) - reference(gs.astype(np.float64)))
    assert np.max(error / unit) <= 8
    assert "Within 8 ulp" in tx.made_by.__doc__
    with enable_x64(True):
        wide = gs[:300].astype(np.float64)
        error = np.abs(np.asarray(run(tx, jnp.asarray(wide))[0]) - reference(wide))
        assert np.all(error <= 1e-14 * terms[:300])


def test_the_bound_of_the_corrected_gradient():
    gs = gradients()[:200, :4]
    want = corrected(gs.astype(np.float64), 0.025, 0.95, 1.0)
    got = np.asarray(run(reduce_variance(), gs)[0], np.float64)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    assert np.all(np.linalg.norm(got, axis=1) <= 1 + 1e-6)


NEUTRAL = {
    "nesterov_ema": nesterov_ema(0.0),
    "reduce_variance": reduce_variance(0.0, 0.95, np.inf),
    "amplify_slow": amplify_slow(0.98, 0.0),
    "optimistic": scale_by_optimistic_gradient(1.0, 0.0),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_the_neutral_setting_changes_nothing_to_the_bit(name):
    gs = np.concatenate([gradients()[:50], np.zeros((2, 48), np.float32), -np.zeros((2, 48), np.float32)])
    assert np.asarray(run(NEUTRAL[name], gs)[0]).tobytes() == gs.tobytes()


def test_first_steps():
    """Nothing is known of the past: the difference is 0, and the slow mean is the gradient."""
    g = jnp.array([0.3, -0.4])
    for tx, first in [
        (reduce_variance(), g),
        (scale_by_optimistic_gradient(2.0, 5.0), 2 * g),
        (amplify_slow(), 3 * g),
        (nesterov_ema(0.9), 0.19 * g),
    ]:
        np.testing.assert_allclose(tx.update(g, tx.init(g))[0], first, rtol=1e-6)


def test_momentum_of_muon():
    """It is Nesterov's momentum times 1 - decay."""
    gs = gradients()[:100]
    ours, theirs = (np.asarray(run(tx, gs)[0]) for tx in (nesterov_ema(0.9), gradtx.add_nesterov_momentum(0.9)))
    size = np.asarray(run(gradtx.add_nesterov_momentum(0.9), np.abs(gs))[0])
    assert np.all(np.abs(10 * ours - theirs) <= 1e-5 * size + 1e-30)


def test_slow_parts_are_amplified_and_fast_ones_are_not():
    """A constant is multiplied by 1 + factor, a change of sign at every step nearly by 1."""
    gs = np.stack([np.ones(2000), (-1.0) ** np.arange(2000)], axis=1).astype(np.float32)
    last = np.abs(np.asarray(run(amplify_slow(0.98, 2.0), gs)[0]))[-1]
    np.testing.assert_allclose(last, [3.0, 1.02], atol=0.01)


def test_bad_input():
    for make, words in [
        (lambda: nesterov_ema(1.5), r"decay must be in \[0, 1\]"),
        (lambda: reduce_variance(-0.1), "gamma must be finite and at least 0"),
        (lambda: reduce_variance(0.1, 1.0), r"decay must be in \[0, 1\)"),
        (lambda: reduce_variance(0.1, 0.9, -1.0), "max_norm must be at least 0"),
        (lambda: amplify_slow(0.9, -1.0), "factor must be finite and at least 0"),
        (lambda: scale_by_optimistic_gradient(1.0, -1.0), "beta must be finite and at least 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            make()
