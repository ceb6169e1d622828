"""Momentum, against Polyak's, Sutskever's and torch's sums and the plain average."""

from functools import partial

import jax.numpy as jnp
import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.add_momentum(0.9), partial(reference.momentum, mu=0.9), ulp=50),
    Case(gradtx.add_momentum(0.5), partial(reference.momentum, mu=0.5), ulp=50),
    Case(gradtx.add_momentum(0.99), partial(reference.momentum, mu=0.99), ulp=50),
    Case(gradtx.add_nesterov_momentum(0.9), partial(reference.nesterov, mu=0.9), ulp=50),
    Case(gradtx.add_damped_momentum(0.9, 0.5), partial(reference.damped_momentum, mu=0.9, tau=0.5), ulp=50),
    Case(gradtx.ema(0.9), partial(reference.average, mu=0.9, corrected=True), ulp=30),
    Case(gradtx.ema(0.999), partial(reference.average, mu=0.999, corrected=True), ulp=30),
    Case(gradtx.ema(0.9, debias=False), partial(reference.average, mu=0.9, corrected=False), ulp=30),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement:
    def test_float32(self, case):
        agreement.assert_agrees_in_float32(case)

    def test_float64(self, case):
        agreement.assert_agrees_in_float64(case)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_half_gradients(self, case, dtype):
        agreement.assert_half_gradients_are_read_exactly(case, dtype)

    def test_docstring(self, case):
        agreement.assert_docstring_states(case)
