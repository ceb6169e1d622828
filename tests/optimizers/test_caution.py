"""C-AdamW, C-Lion and Grams against the algorithms of their papers."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import c_adamw, c_lion, grams
from tests.double import enable_x64
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case, gradients, run

W = np.linspace(-2, 2, 48)


def adam_of(gs, b1=0.9, b2=0.999, eps=1e-8):
    m, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        out.append(m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
    return np.stack(out)


def lion_of(gs, b1=0.9, b2=0.99):
    m, out = np.zeros_like(gs[0]), []
    for g in gs:
        out.append(np.sign(b1 * m + (1 - b1) * g))
        m = b2 * m + (1 - b2) * g
    return np.stack(out)


def cautious(us, gs):
    """Liang et al.: u·(u·g > 0), divided by the mean of the mask, at least 1e-3."""
    keep = np.sign(us) * np.sign(gs) > 0
    return us * keep / np.maximum(keep.mean(axis=1, keepdims=True), 1e-3)


@pytest.mark.parametrize(
    ("tx", "inside", "decay"), [(c_adamw(0.5), adam_of, 1e-4), (c_lion(0.5), lion_of, 1e-3)], ids=["adam", "lion"]
)
def test_cautious_ones_in_float64(tx, inside, decay):
    """The decay is outside: it is neither dropped nor enlarged."""
    with enable_x64(True):
        gs = gradients()[:300].astype(np.float64)
        want = -0.5 * (cautious(inside(gs.astype(np.longdouble)), gs) + decay * W)
        got = np.asarray(run(tx, jnp.asarray(gs), jnp.asarray(W))[0])
        np.testing.assert_allclose(got, want.astype(np.float64), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("tx", "inside", "ulp"), [(c_adamw(0.5), adam_of, 20), (c_lion(0.5), lion_of, 2)], ids=["adam", "lion"]
)
def test_cautious_ones_over_1000_steps_in_float32(tx, inside, ulp):
    """No average here is within 1e-6 of its terms of 0, where its sign, and with it the whole row, is not sure."""
    gs = gradients().astype(np.float64)
    us = inside(gs)
    share = np.mean(np.sign(us) * np.sign(gs) > 0, axis=1, keepdims=True)
    size = 0.5 * inside(np.abs(gs)) / np.maximum(share, 1e-3)
    assert agreement.ulps(run(tx, gradients())[0], -0.5 * cautious(us, gs), size) <= ulp
    agreement.assert_docstring_states(Case(tx, inside, ulp))


def signed(gs):
    return -0.5 * np.sign(gs) * np.abs(adam_of(gs))


class TestGrams:
    def test_over_1000_steps_in_float32(self):
        """At the size that gradients of one sign would give: where the mean cancels, only that can be held."""
        case = Case(grams(0.5), signed, 60)
        agreement.assert_agrees_in_float32(case)
        agreement.assert_agrees_in_float64(case)
        agreement.assert_docstring_states(case)

    def test_no_entry_goes_against_the_gradient(self):
        gs = gradients()[:200]
        got = np.asarray(run(grams(0.5), gs)[0])
        assert np.all(got * np.sign(gs) <= 0)
        np.testing.assert_allclose(np.abs(got)[gs != 0], np.abs(run(gradtx.adam(0.5), gs)[0])[gs != 0], rtol=1e-6)


def test_chains():
    adam, decay = gradtx.scale_by_adam(), partial(gradtx.add_decayed_weights)
    assert_same_chain(c_adamw(RATE), gradtx.cautious(adam), decay(1e-4), lr(RATE))
    assert_same_chain(c_lion(RATE), gradtx.cautious(gradtx.scale_by_lion()), decay(1e-3), lr(RATE))
    assert_same_chain(grams(RATE), gradtx.graft(gradtx.identity(), adam, per="entry"), decay(0.0), lr(RATE))
