"""Yogi against the loop of its paper."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case


def additive(gs, b1=0.9, b2=0.999, eps=1e-3, start=1e-6):
    m, v, out = 0, 0 * gs[0] + start, []
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * np.sign(v - g**2) * g**2
        out.append(m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
    return np.stack(out)


CASES = [Case(gradtx.scale_by_yogi(), additive, ulp=80)]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chain():
    assert_same_chain(gradtx.yogi(RATE, 0.8, 0.9, 1e-2), gradtx.scale_by_yogi(0.8, 0.9, 1e-2), lr(RATE))


def test_v_falls_by_small_squares_only():
    """After a gradient of 10, gradients of 0.1 take 1e-5 each from v, where Adam's would lose a thousandth."""
    gs = jnp.concatenate([jnp.array([[10.0]]), jnp.full((100, 1), 0.1)])
    _, state = agreement.run(gradtx.scale_by_yogi(initial_accumulator_value=0.0), gs)
    np.testing.assert_allclose(state.nu, 0.1 - 100 * 1e-5, rtol=1e-4)


def test_zero_and_huge():
    us, state = agreement.run(gradtx.scale_by_yogi(), jnp.array([[0.0, 1e25], [0.0, -1e25], [0.0, 1.0]]))
    assert not us[:, 0].any()
    assert np.isfinite(us).all()
    assert np.isfinite(state.nu).all()
    assert float(us[0, 1]) == pytest.approx(1.0, rel=1e-5)
    without, _ = agreement.run(gradtx.scale_by_yogi(eps=0.0, initial_accumulator_value=0.0), jnp.zeros((3, 2)))
    assert not without.any()


@pytest.mark.parametrize(
    ("name", "value"), [("b1", 1.0), ("b2", 1.0), ("eps", -1.0), ("initial_accumulator_value", -1.0)]
)
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        gradtx.scale_by_yogi(**{name: value})
