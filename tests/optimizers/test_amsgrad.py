"""AMSGrad against the algorithm of Reddi, Kale & Kumar, and on their two problems, where Adam goes the wrong way."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(
        gradtx.scale_by_amsgrad(maximum_of=maximum_of),
        partial(reference.amsgrad, b1=0.9, b2=0.999, eps=1e-8, maximum_of=maximum_of),
        ulp=30,
    )
    for maximum_of in ("corrected", "raw")
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chains():
    assert_same_chain(gradtx.amsgrad(RATE), gradtx.scale_by_amsgrad(), lr(RATE))
    raw = gradtx.scale_by_amsgrad(0.8, maximum_of="raw")
    assert_same_chain(gradtx.amsgrad(RATE, 0.8, maximum_of="raw"), raw, lr(RATE))


def test_a_misspelt_word():
    with pytest.raises(ValueError, match=r"maximum_of must be one of .*did you mean 'raw'"):
        gradtx.amsgrad(0.1, maximum_of="rwa")


def online(tx, gradient, w0, steps):
    """Projected descent over the stream of gradients: x is clipped to [-1, 1] after every step. One scan."""

    @jax.jit
    def play():
        def step(carry, t):
            w, state = carry
            u, state = tx.update(gradient(t), state, w)
            w = jnp.clip(gradtx.apply_updates(w, u), -1.0, 1.0)
            return (w, state), None

        w = jnp.float32(w0)
        (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), jnp.arange(1, steps + 1))
        return w

    return float(play())


def synthetic(t):
    return jnp.where(t % 101 == 1, 1010.0, -10.0)


def theorem_1(t):
    return jnp.where(t % 3 == 1, 3.0, -1.0)


class TestSynthetic:
    """f = 1010 x if t mod 101 = 1, else -10 x: the best point is -1. b = (0.9, 0.99), rate 0.01, 10⁶ steps."""

    @pytest.mark.slow
    def test_adam_goes_to_the_worst_point(self):
        assert online(gradtx.adam(0.01, b2=0.99), synthetic, 0.0, 10**6) == 1.0

    @pytest.mark.slow
    @pytest.mark.parametrize(("maximum_of", "end"), [("corrected", -0.993), ("raw", -0.946)])
    def test_amsgrad_goes_to_the_best(self, maximum_of, end):
        """-0.99 with the maximum of the corrected moment. That of the raw one is still on its way: it is corrected
        after the maximum, by which it was the largest in the first steps and is smaller ever since."""
        tx = gradtx.amsgrad(0.01, b2=0.99, maximum_of=maximum_of)
        assert online(tx, synthetic, 0.0, 10**6) == pytest.approx(end, abs=0.002)


class TestTheorem1:
    """C = 3, b1 = 0, b2 = 1/(1 + C²) = 0.1, rate 0.1/√t, from x = 1, 2·10⁵ steps: the best point is -1."""

    @staticmethod
    def rate(step):
        return 0.1 / jnp.sqrt(step + 1.0)

    def test_adam_stays_at_the_worst_point(self):
        end = online(gradtx.adam(self.rate, 0.0, 0.1), theorem_1, 1.0, 2 * 10**5)
        assert end == pytest.approx(0.9999, abs=1e-4)

    @pytest.mark.parametrize("maximum_of", ["corrected", "raw"])
    def test_amsgrad_goes_to_the_best(self, maximum_of):
        end = online(gradtx.amsgrad(self.rate, 0.0, 0.1, maximum_of=maximum_of), theorem_1, 1.0, 2 * 10**5)
        assert end == pytest.approx(-0.9999, abs=1e-4)


def test_the_paper_corrects_nothing():
    """The first step by hand: m = 0.1·g, x = v = 0.001·g², u = 0.1/√0.001."""
    for maximum_of in ("corrected", "raw"):
        tx = gradtx.scale_by_amsgrad(eps=0.0, maximum_of=maximum_of, bias_correction_mu=False, bias_correction_nu=False)
        u, _ = tx.update(jnp.array([2.0, -3.0]), tx.init(jnp.zeros(2)))
        np.testing.assert_allclose(u, [10**0.5, -(10**0.5)], rtol=1e-6)
