"""NAdam, against Dozat's algorithm with one μ and with the rising one."""

from functools import partial

import jax.numpy as jnp
import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_nadam(), partial(reference.nadam, b1=0.9, b2=0.999, eps=1e-8), ulp=30),
    Case(
        gradtx.scale_by_scheduled_nadam(),
        partial(reference.nadam_scheduled, b1=0.9, b2=0.999, eps=1e-8, psi=0.004),
        ulp=30,
    ),
    Case(
        gradtx.scale_by_scheduled_nadam(momentum_decay=1.0),
        partial(reference.nadam_scheduled, b1=0.9, b2=0.999, eps=1e-8, psi=1.0),
        ulp=30,
    ),
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
