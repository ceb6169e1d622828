"""LARS, LAMB and Fromage against their algorithms in float64."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import fromage, lamb, lars, turn_by_learning_rate
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate
from tests.reference_averages import assert_path_is
from tests.transforms.agreement import enable_x64, gradients

W0 = np.linspace(-3, 3, 48).reshape(6, 8).astype(np.float32)
GS = np.tanh(gradients()).reshape(-1, 6, 8)  # of both signs, many near 1 in size, some tiny, some 0
norm = np.linalg.norm


def lars_loop(gs, w, eta, mu, lam, trust, nesterov):
    """v = mu·v + eta·trust·‖w‖/‖g + lam·w‖·(g + lam·w)."""
    v = np.zeros_like(w)
    for g in gs:
        g = g + lam * w
        s = eta * trust * norm(w) / norm(g) * g
        v = mu * v + s
        w = w - (s + mu * v if nesterov else v)
        yield w


def lamb_loop(gs, w, eta, b1, b2, eps, lam):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        r = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps) + lam * w
        w = w - eta * norm(w) / norm(r) * r
        yield w


def fromage_loop(gs, w, eta):
    for g in gs:
        w = (w - eta * norm(w) / norm(g) * g) / np.sqrt(1 + eta * eta)
        yield w


CASES = {
    "lars": (lars(1.0, weight_decay=1e-4), lars_loop, (1.0, 0.9, 1e-4, 1e-3, False)),
    "lars nesterov": (
        lars(1.0, momentum=0.5, trust_coefficient=0.01, nesterov=True),
        lars_loop,
        (1.0, 0.5, 0, 0.01, True),
    ),
    "lamb": (lamb(0.003, weight_decay=0.01), lamb_loop, (0.003, 0.9, 0.999, 1e-6, 0.01)),
    "fromage": (fromage(0.01), fromage_loop, (0.01,)),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    tx, loop, arguments = CASES[name]
    assert_path_is(tx, np.stack(list(loop(GS.astype(np.float64), W0.astype(np.float64), *arguments))), GS, W0)


def test_chains():
    decay, ratio, momentum = gradtx.add_decayed_weights, gradtx.scale_by_trust_ratio, gradtx.add_momentum(0.9)
    assert_same_chain(lamb(rate, weight_decay=0.1), gradtx.scale_by_adam(eps=1e-6), decay(0.1), ratio(), lr(rate))
    assert_same_chain(lars(rate), decay(0.0), ratio(trust_coefficient=1e-3), lr(rate), momentum)
    assert_same_chain(fromage(RATE), ratio(1e-6), turn_by_learning_rate(RATE))


def test_masks_leave_out_biases():
    """Without a trust ratio and without decay a bias takes the step of momentum."""
    w = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    g = {"kernel": jnp.ones((2, 2)), "bias": jnp.full(2, 0.5)}
    tx = lars(1.0, weight_decay=1.0, weight_decay_mask="**/kernel", trust_ratio_mask="**/kernel")
    updates, _ = tx.update(g, tx.init(w), w)
    np.testing.assert_array_equal(updates["bias"], [-0.5, -0.5])
    np.testing.assert_allclose(updates["kernel"], np.full((2, 2), -1e-3), rtol=1e-6)


class TestTurn:
    @pytest.mark.parametrize("eta", [1e-6, 1e-3, 0.1, 0.75, 10.0])
    def test_the_length_stays_and_the_angle_is_arctan(self, eta):
        """In float64, for a step at right angles."""
        with enable_x64(True):
            w, g = jnp.array([3.0, 4.0]), jnp.array([4.0, -3.0])
            u = np.asarray(turn_by_learning_rate(eta).update(g, gradtx.EmptyState(), w)[0])
            w = np.asarray(w)
        np.testing.assert_allclose(norm(w + u), 5.0, rtol=1e-14)
        np.testing.assert_allclose(np.arccos((w @ (w + u)) / 25), np.arctan(eta), rtol=1e-9, atol=1e-8)

    def test_small_rates_lose_nothing(self):
        """1/√(1 + η²) - 1 is -η²/2, and not 0, where η² is below the rounding of 1."""
        u, _ = turn_by_learning_rate(1e-5).update(jnp.zeros(2), gradtx.EmptyState(), jnp.array([1.0, 2.0]))
        np.testing.assert_allclose(u, [-5e-11, -1e-10], rtol=1e-6)

    def test_stated_bound(self):
        """Relative to the two terms, over 1,000 gradients."""
        gs, eta = gradients(), 0.3
        ws = np.broadcast_to(W0.reshape(-1), gs.shape)
        text = " ".join(turn_by_learning_rate.factory.body.__doc__.split())
        (bound,) = re.findall(r"Within (\d+) ulp of exact", text)
        w, c = W0.reshape(-1).astype(np.float64), 1 / np.sqrt(1 + eta**2)
        u, _ = turn_by_learning_rate(eta).update(jnp.asarray(gs), gradtx.EmptyState(), jnp.asarray(ws))
        want, size = -c * eta * gs + (c - 1) * w, np.abs(c * eta * gs.astype(np.float64)) + (1 - c) * np.abs(w)
        assert np.max(np.abs(np.asarray(u) - want) / np.spacing(np.float32(size))) <= int(bound)

    def test_hostile(self):
        with pytest.raises(ValueError, match="turn_by_learning_rate: learning_rate must be finite and at least 0"):
            turn_by_learning_rate(-0.1)
        with pytest.raises(ValueError, match="needs the parameters"):
            turn_by_learning_rate(0.1).update(jnp.ones(2), gradtx.EmptyState())


@pytest.mark.parametrize("tx", [lars(1.0), lamb(0.1), fromage(0.1)], ids=repr)
def test_zeros_are_finite(tx):
    """A first gradient of 0, and parameters of 0."""
    for w in (jnp.zeros(3), jnp.ones(3)):
        u, _ = tx.update(jnp.zeros(3), tx.init(w), w)
        assert np.isfinite(u).all()
