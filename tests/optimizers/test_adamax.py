"""AdaMax against the algorithm of Kingma & Ba."""

from functools import partial

import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [Case(gradtx.scale_by_adamax(), partial(reference.adamax, b1=0.9, b2=0.999, eps=1e-8), ulp=40)]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chain():
    numbers = (0.8, 0.99, 1e-6)
    assert_same_chain(gradtx.adamax(RATE, *numbers), gradtx.scale_by_adamax(*numbers), lr(RATE))
    decayed = gradtx.adamaxw(RATE, *numbers, weight_decay=0.1)
    assert_same_chain(decayed, gradtx.scale_by_adamax(*numbers), gradtx.add_decayed_weights(0.1), lr(RATE))
