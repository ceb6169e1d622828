"""Momentum, against Polyak's, Sutskever's and torch's sums and the plain average."""

from functools import partial

import jax.numpy as jnp
import numpy as np
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
class TestAgreement(agreement.DocumentedAgreement):
    pass


GS = jnp.array([[3.0], [-1.0], [5.0]])


@pytest.mark.parametrize(
    "tx",
    [gradtx.add_momentum(0.0), gradtx.add_nesterov_momentum(0.0), gradtx.ema(0.0), gradtx.ema(0.0, debias=False)],
    ids=repr,
)
def test_decay_zero_passes_on(tx):
    np.testing.assert_array_equal(agreement.run(tx, GS)[0], GS)


def test_decay_one_sums_up():
    np.testing.assert_array_equal(agreement.run(gradtx.add_momentum(1.0), GS)[0][:, 0], [3, 2, 7])
    np.testing.assert_array_equal(agreement.run(gradtx.add_nesterov_momentum(1.0), GS)[0][:, 0], [6, 1, 12])
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
        gradtx.ema(1.0)
