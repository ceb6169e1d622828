"""AdaDelta, against Zeiler's algorithm."""

from functools import partial
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_adadelta(), partial(reference.adadelta, rho=0.9, eps=1e-6), ulp=120, signs_cancel=False),
    Case(
        gradtx.scale_by_adadelta(0.95, 1e-7),
        partial(reference.adadelta, rho=0.95, eps=1e-7),
        ulp=120,
        signs_cancel=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_without_arguments_it_descends():
    w, tx = jnp.array([-15.0, 20.0]), gradtx.adadelta()
    state, errors = tx.init(w), []
    for _ in range(200):
        errors.append(float(3 * w[0] ** 2 + 10 * w[1] ** 2))
        u, state = tx.update(jnp.array([6.0, 20.0]) * w, state)
        w = gradtx.apply_updates(w, u)
    assert all(after < before for before, after in pairwise(errors))


def test_steps_do_not_depend_on_the_unit_of_the_error():
    """A thousand times the gradient is the same step, once it is far above eps."""
    gs = agreement.gradients()[:50, :4] + 10.0
    tx = gradtx.scale_by_adadelta(eps=1e-6)
    np.testing.assert_allclose(agreement.run(tx, 1000 * gs)[0], agreement.run(tx, gs)[0], rtol=1e-4)


def test_decay_one_keeps_the_start():
    gs = jnp.array([[3.0], [-1.0], [5.0]])
    np.testing.assert_allclose(agreement.run(gradtx.scale_by_adadelta(1.0, 1e-6), gs)[0], gs, rtol=1e-6)


def test_chain():
    assert_same_chain(gradtx.adadelta(), gradtx.scale_by_adadelta(0.9, 1e-6), lr(1.0))
    decay = gradtx.add_decayed_weights(0.1, "a")
    tx = gradtx.adadelta(weight_decay=0.1, weight_decay_mask="a")
    assert_same_chain(tx, decay, gradtx.scale_by_adadelta(0.9, 1e-6), lr(1.0))
