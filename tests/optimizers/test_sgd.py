"""Gradient descent: its chains, and what it refuses."""

import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate

CHAINS = {
    "plain": (gradtx.sgd(RATE), [lr(RATE)]),
    "momentum": (gradtx.sgd(RATE, 0.8), [gradtx.add_momentum(0.8), lr(RATE)]),
    "nesterov": (gradtx.sgd(RATE, 0.8, True), [gradtx.add_nesterov_momentum(0.8), lr(RATE)]),
    "dampening": (gradtx.sgd(RATE, 0.8, dampening=0.3), [gradtx.add_damped_momentum(0.8, 0.3), lr(RATE)]),
    "noise": (gradtx.noisy_sgd(RATE, 0.1, 0.5, key=3), [gradtx.add_noise(0.1, 0.5, 3), lr(RATE)]),
    "schedule": (gradtx.sgd(rate, 0.8), [gradtx.add_momentum(0.8), lr(rate)]),
}


@pytest.mark.parametrize(("recipe", "members"), CHAINS.values(), ids=CHAINS.keys())
def test_chain(recipe, members):
    assert_same_chain(recipe, *members)


def test_errors():
    with pytest.raises(ValueError, match=r"sgd: nesterov needs a momentum, for instance momentum=0\.9"):
        gradtx.sgd(0.1, nesterov=True)
    with pytest.raises(ValueError, match="sgd: dampening needs a momentum"):
        gradtx.sgd(0.1, dampening=0.5)
    with pytest.raises(ValueError, match="sgd: nesterov and dampening exclude each other"):
        gradtx.sgd(0.1, 0.9, nesterov=True, dampening=0.5)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\]; got 1\.1"):
        gradtx.sgd(0.1, 1.1)
    with pytest.raises(ValueError, match=r"dampening must be in \[0, 1\]"):
        gradtx.sgd(0.1, 0.9, dampening=-0.1)
