"""Adagrad, against Duchi's sum of squares."""

from functools import partial

import jax.numpy as jnp
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.accumulate_squares(), partial(reference.adagrad, initial=0.1, eps=1e-7), ulp=40, signs_cancel=False),
    Case(
        gradtx.accumulate_squares(0.0, 1e-10, eps_in_sqrt=False),
        partial(reference.adagrad, eps=1e-10, inside=False),
        ulp=40,
        signs_cancel=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chain():
    assert_same_chain(gradtx.adagrad(RATE), gradtx.accumulate_squares(0.1, 1e-7), lr(RATE))
    outside = gradtx.accumulate_squares(0.0, 1e-10, eps_in_sqrt=False)
    assert_same_chain(gradtx.adagrad(RATE, 0.0, 1e-10, eps_in_sqrt=False), outside, lr(RATE))


def test_it_leaves_a_saddle():
    """f = x² - y², from y = 1e-6."""
    w, tx = jnp.array([1.0, 1e-6]), gradtx.adagrad(0.01, 0.0)
    state = tx.init(w)
    for _ in range(60):
        u, state = tx.update(jnp.array([2.0, -2.0]) * w, state, w)
        w = gradtx.apply_updates(w, u)
    assert w[1] > 0.1


def test_the_start_cannot_follow_a_schedule():
    with pytest.raises(TypeError, match="initial_accumulator_value is read once"):
        gradtx.adagrad(0.1, gradtx.constant_schedule(0.1))
