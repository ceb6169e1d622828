"""Adagrad, against Duchi's sum of squares."""

from functools import partial

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
class TestAgreement(agreement.DocumentedAgreement):
    pass
