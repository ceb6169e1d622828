"""Adam, AMSGrad and AdaMax, against the algorithms of Kingma & Ba and of Reddi."""

from functools import partial

import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_adam(), partial(reference.adam, b1=0.9, b2=0.999, eps=1e-8), ulp=30),
    Case(gradtx.scale_by_adam(0.9, 0.95), partial(reference.adam, b1=0.9, b2=0.95, eps=1e-8), ulp=30),
    Case(
        gradtx.scale_by_adam(0.8, 0.99, 0.0, 1e-8),
        partial(reference.adam, b1=0.8, b2=0.99, eps=0.0, eps_root=1e-8),
        ulp=30,
    ),
    Case(
        gradtx.scale_by_amsgrad(),
        partial(reference.amsgrad, b1=0.9, b2=0.999, eps=1e-8, maximum_of="corrected"),
        ulp=30,
    ),
    Case(
        gradtx.scale_by_amsgrad(maximum_of="raw"),
        partial(reference.amsgrad, b1=0.9, b2=0.999, eps=1e-8, maximum_of="raw"),
        ulp=30,
    ),
    Case(gradtx.scale_by_adamax(), partial(reference.adamax, b1=0.9, b2=0.999, eps=1e-8), ulp=40),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass
