"""RMSProp's division, plain and centered, against Tieleman & Hinton's and Graves' formulas."""

from functools import partial

import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_rms(0.9), partial(reference.rmsprop, rho=0.9, eps=1e-8), ulp=20, signs_cancel=False),
    Case(gradtx.scale_by_rms(0.99), partial(reference.rmsprop, rho=0.99, eps=1e-8), ulp=20, signs_cancel=False),
    Case(gradtx.scale_by_rms(0.999), partial(reference.rmsprop, rho=0.999, eps=1e-8), ulp=20, signs_cancel=False),
    Case(
        gradtx.scale_by_rms(0.99, initial_scale=1.0, eps_in_sqrt=False),
        partial(reference.rmsprop, rho=0.99, eps=1e-8, initial=1.0, inside=False),
        ulp=20,
        signs_cancel=False,
    ),
    Case(
        gradtx.scale_by_rms(0.999, bias_correction=True),
        partial(reference.rmsprop, rho=0.999, eps=1e-8, corrected=True),
        ulp=20,
        signs_cancel=False,
    ),
    Case(
        gradtx.scale_by_stddev(0.9),
        partial(reference.rmsprop_by_definition, rho=0.9, eps=1e-8),
        ulp=50,
        signs_cancel=False,
    ),
    Case(
        gradtx.scale_by_stddev(0.99, eps_in_sqrt=False),
        partial(reference.rmsprop_by_definition, rho=0.99, eps=1e-8, inside=False),
        ulp=50,
        signs_cancel=False,
    ),
    Case(
        gradtx.scale_by_stddev(0.9, bias_correction=True),
        partial(reference.rmsprop_by_definition, rho=0.9, eps=1e-8, corrected=True),
        ulp=50,
        signs_cancel=False,
    ),
    Case(
        gradtx.scale_by_stddev(0.999, bias_correction=True),
        partial(reference.rmsprop_by_definition, rho=0.999, eps=1e-8, corrected=True),
        ulp=50,
        signs_cancel=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass
