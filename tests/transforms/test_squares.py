"""Adagrad, against Duchi's sum of squares."""

from functools import partial

import jax.numpy as jnp
import pytest

import gradtx
from tests import reference
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
