"""RMSProp's division, plain and centered, against Tieleman & Hinton's and Graves' formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate
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


class TestEndsOfTheDecay:
    GS = jnp.array([[3.0], [-1.0], [5.0]])

    @pytest.mark.parametrize(
        ("tx", "divisor"),
        [
            (gradtx.scale_by_rms(1.0, 0.25, eps_in_sqrt=False), 0.25),
            (gradtx.scale_by_rms(1.0, 0.0, 4.0), 2.0),
            (gradtx.scale_by_stddev(1.0, 0.0, 4.0), 2.0),
            (gradtx.scale_by_stddev(0.0, 0.25), 0.5),  # the mean of squares is the square of the mean
            (gradtx.scale_by_stddev(0.0, 0.25, bias_correction=True), 0.5),
        ],
        ids=repr,
    )
    def test_the_divisor_stays(self, tx, divisor):
        np.testing.assert_array_equal(agreement.run(tx, self.GS)[0], self.GS / divisor)

    def test_without_memory_it_is_the_sign(self):
        got, _ = agreement.run(gradtx.scale_by_rms(0.0, 0.0), self.GS)
        np.testing.assert_allclose(got, jnp.sign(self.GS), rtol=1e-6)

    @pytest.mark.parametrize("factory", [gradtx.scale_by_rms, gradtx.scale_by_stddev])
    def test_a_corrected_decay_of_one_is_refused(self, factory):
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\)"):
            factory(1.0, bias_correction=True)


CHAINS = {
    "plain": (gradtx.rmsprop(RATE), [gradtx.scale_by_rms(0.9, 1e-8, 0.0), lr(RATE)]),
    "all": (
        gradtx.rmsprop(RATE, 0.8, 1e-4, 0.5, False, False, None, False, True),
        [gradtx.scale_by_rms(0.8, 1e-4, 0.5, eps_in_sqrt=False, bias_correction=True), lr(RATE)],
    ),
    "centered": (
        gradtx.rmsprop(RATE, 0.8, 1e-4, 0.5, False, True),
        [gradtx.scale_by_stddev(0.8, 1e-4, 0.5, eps_in_sqrt=False), lr(RATE)],
    ),
    "momentum": (
        gradtx.rmsprop(rate, momentum=0.7),
        [gradtx.scale_by_rms(), lr(rate), gradtx.add_momentum(0.7)],
    ),
    "momentum after": (
        gradtx.rmsprop(rate, momentum=0.7, nesterov=True, rate_in_momentum=False),
        [gradtx.scale_by_rms(), gradtx.add_nesterov_momentum(0.7), lr(rate)],
    ),
}


@pytest.mark.parametrize(("recipe", "members"), CHAINS.values(), ids=CHAINS.keys())
def test_chain(recipe, members):
    assert_same_chain(recipe, *members)


def test_errors():
    with pytest.raises(ValueError, match="rmsprop: nesterov needs a momentum"):
        gradtx.rmsprop(0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\]"):
        gradtx.rmsprop(0.1, -0.1)


@pytest.mark.parametrize("corrected", [False, True])
def test_opposite_huge_gradients_do_not_freeze_the_variance(corrected):
    """Each is cut to the bound of squares, but their difference is twice that."""
    tx = gradtx.scale_by_stddev(bias_correction=corrected)
    us, state = agreement.run(tx, jnp.array([[1e25], [-1e25], [1e25], [-1e25]]))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((us, state)))
    assert np.array_equal(np.sign(us[:, 0]), [1, -1, 1, -1])


@pytest.mark.parametrize("size", [1e19, 1e25, 1e38])
def test_the_variance_of_five_equal_gradients(size):
    """m = (1 - 0.9⁵)·g, s = (1 - 0.9⁵)·g², so s - m² = 0.9⁵·(1 - 0.9⁵)·g²."""
    tx = gradtx.scale_by_stddev(0.9, eps=0.0)
    state = tx.init(jnp.zeros(1))
    for _ in range(5):
        u, state = tx.update(jnp.full(1, size), state)
    np.testing.assert_allclose(u, (0.9**5 * (1 - 0.9**5)) ** -0.5, rtol=1e-6)


@pytest.mark.parametrize("bias_correction", [False, True])
def test_an_infinite_gradient_shows_in_the_variance(bias_correction):
    tx = gradtx.scale_by_stddev(bias_correction=bias_correction)
    _, state = tx.update(jnp.array([jnp.inf]), tx.init(jnp.zeros(1)))
    assert np.isnan(state.nu)
