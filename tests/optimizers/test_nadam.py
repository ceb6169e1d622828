"""NAdam, against Dozat's algorithm with one μ and with the rising one."""

from functools import partial

import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr
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
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chains():
    assert_same_chain(gradtx.nadam(RATE), gradtx.scale_by_nadam(), lr(RATE))
    rising = gradtx.scale_by_scheduled_nadam(momentum_decay=0.004)
    assert_same_chain(gradtx.nadam(RATE, momentum_decay=0.004), rising, lr(RATE))
    decay = gradtx.add_decayed_weights(0.1)
    assert_same_chain(gradtx.nadamw(RATE, weight_decay=0.1), gradtx.scale_by_nadam(), decay, lr(RATE))
    assert_same_chain(gradtx.nadamw(RATE, weight_decay=0.1, momentum_decay=0.004), rising, decay, lr(RATE))
