"""AdaBelief and ACProp against the loops of their papers, and where their divisors vanish."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

B1, B2, EPS = 0.9, 0.999, 1e-16


def belief(gs, nesterov=False):
    m = s = 0
    out = []
    for t, g in enumerate(gs, 1):
        m = B1 * m + (1 - B1) * g
        s = B2 * s + (1 - B2) * (g - m) ** 2 + EPS
        ahead = B1 * m / (1 - B1 ** (t + 1)) + (1 - B1) * g / (1 - B1**t)
        out.append((ahead if nesterov else m / (1 - B1**t)) / (np.sqrt(s / (1 - B2**t)) + EPS))
    return np.stack(out)


def asynchronous(gs):
    m = s = 0 * gs[0]
    out = [gs[0]]
    for t, g in enumerate(gs):
        if t:
            out.append(g / (np.sqrt(s / (1 - B2**t)) + EPS))
        s = B2 * s + (1 - B2) * (g - m) ** 2 + EPS
        m = B1 * m + (1 - B1) * g
    return np.stack(out)


CASES = [
    Case(gradtx.scale_by_belief(), belief, ulp=80),
    Case(gradtx.scale_by_belief(nesterov=True), partial(belief, nesterov=True), ulp=80),
    Case(gradtx.scale_by_acprop(), asynchronous, ulp=80),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chains():
    assert_same_chain(
        gradtx.adabelief(RATE, 0.8, 0.9, 1e-6, 1e-8), gradtx.scale_by_belief(0.8, 0.9, 1e-6, 1e-8), lr(RATE)
    )
    assert_same_chain(
        gradtx.acprop(RATE, weight_decay=0.1), gradtx.scale_by_acprop(), gradtx.add_decayed_weights(0.1), lr(RATE)
    )


def test_a_gradient_that_does_not_change_makes_long_steps():
    """g - m is b1^t·g, so that s = (1 - b2)·g²·Σ b2^(t-k)·b1^(2k), until it is eps_root."""
    us, _ = agreement.run(gradtx.scale_by_belief(eps=0.0, eps_root=0.0), jnp.full((300, 1), 2.0))
    t = 300
    s = (1 - B2) * 4.0 * sum(B2 ** (t - k) * B1 ** (2 * k) for k in range(1, t + 1))
    np.testing.assert_allclose(us[-1, 0], 2.0 / np.sqrt(s / (1 - B2**t)), rtol=1e-4)
    assert us[-1, 0] > 7.0


@pytest.mark.parametrize("tx", [gradtx.scale_by_belief(), gradtx.scale_by_acprop()], ids=repr)
def test_what_does_not_change_a_zero_or_overflow(tx):
    gs = jnp.array([[0.0, 1e25, -1e25, 1e-30], [0.0, -1e25, -1e25, 1e-30], [0.0, 1e25, 1e25, -1e-30]])
    us, state = agreement.run(tx, gs)
    assert np.isfinite(us).all()
    assert np.isfinite(state.nu).all()
    assert not us[:, 0].any()


def test_without_eps_an_entry_that_never_varied_rests():
    us, _ = agreement.run(gradtx.scale_by_belief(b1=0.0, eps=0.0, eps_root=0.0), jnp.ones((3, 2)))
    assert not us.any()
    us, _ = agreement.run(gradtx.scale_by_acprop(eps=0.0, eps_root=0.0), jnp.array([[0.0], [1.0], [1.0]]))
    np.testing.assert_allclose(us[:, 0], [0.0, 0.0, np.sqrt(2.0)], rtol=1e-3)


def test_the_divisor_does_not_see_its_own_gradient():
    """A gradient of 100 after many of 1 and -1 makes a step of about 100."""
    gs = jnp.concatenate([jnp.where(jnp.arange(200) % 2 == 0, 1.0, -1.0), jnp.array([100.0])])[:, None]
    us, _ = agreement.run(gradtx.scale_by_acprop(), gs)
    assert 80 < float(us[-1, 0]) < 120


@pytest.mark.parametrize("factory", [gradtx.scale_by_belief, gradtx.scale_by_acprop])
@pytest.mark.parametrize(("name", "value"), [("b1", 1.0), ("b2", -0.1), ("eps", -1.0), ("eps_root", np.inf)])
def test_out_of_range(factory, name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        factory(**{name: value})
