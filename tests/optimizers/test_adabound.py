"""AdaBound and AMSBound against the loop of their paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate
from tests.transforms import agreement
from tests.transforms.agreement import Case


def bounded(gs, largest=False, b1=0.9, b2=0.999, eps=1e-8, final=100.0, gamma=1e-3):
    m = v = x = 0
    out = []
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        x = np.maximum(x, v) if largest else v
        factor = np.sqrt(1 - gs.dtype.type(b2) ** t) / (1 - gs.dtype.type(b1) ** t) / (np.sqrt(x) + eps)
        out.append(m * np.clip(factor, final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))))
    return np.stack(out)


CASES = [
    Case(gradtx.scale_by_adabound(), bounded, ulp=40),
    Case(gradtx.scale_by_adabound(final_factor=1.0, gamma=0.1), partial(bounded, final=1.0, gamma=0.1), ulp=40),
    Case(gradtx.scale_by_amsbound(), partial(bounded, largest=True), ulp=40),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chains():
    numbers = (0.8, 0.99, 1e-6)
    scaling = gradtx.scale_by_adabound(*numbers, 0.2 / RATE, 0.01)
    assert_same_chain(gradtx.adabound(RATE, *numbers, 0.2, 0.01), scaling, lr(RATE))
    scaling = gradtx.scale_by_amsbound(*numbers, 0.2 / 0.5, 0.01)
    assert_same_chain(gradtx.amsbound(rate, *numbers, 0.2, 0.01, base_learning_rate=0.5), scaling, lr(rate))


def test_bounds_of_the_first_step():
    """9.99e-5 and 100.1 for a final rate of 0.1: m = 0.1·g, and Adam's factor is beyond them."""
    tx = gradtx.adabound(1e-3, eps=0.0)
    us, _ = agreement.run(tx, jnp.array([[1e-8, 1e8]]))
    np.testing.assert_allclose(us[0], [-100.1 * 1e-9, -9.99e-5 * 1e7], rtol=1e-4)


def test_it_ends_as_momentum():
    """At step 10⁷ with gamma 1e-3 both bounds are the final rate to 1e-4."""
    tx = gradtx.scale_by_adabound(final_factor=2.0)
    state = tx.init(jnp.zeros(2))._replace(count=jnp.int32(10**7), mu=jnp.array([3.0, -1e-3]))
    u, _ = tx.update(jnp.array([3.0, -1e-3]), state)
    np.testing.assert_allclose(u, [6.0, -2e-3], rtol=2e-4)


def test_a_schedule_needs_a_base():
    with pytest.raises(ValueError, match="base_learning_rate must be a number where learning_rate is a schedule"):
        gradtx.adabound(rate)


@pytest.mark.parametrize("recipe", [gradtx.adabound, gradtx.amsbound], ids=["adabound", "amsbound"])
def test_a_learning_rate_of_zero_needs_a_base_too(recipe):
    with pytest.raises(ValueError, match=rf"{recipe.__name__}: learning_rate must be greater than 0; got 0\.0"):
        recipe(0.0)
    with pytest.raises(ValueError, match="base_learning_rate must be greater than 0"):
        recipe(0.1, base_learning_rate=0.0)
    tx = recipe(0.0, base_learning_rate=0.1)
    np.testing.assert_array_equal(tx.update(jnp.ones(2), tx.init(jnp.ones(2)))[0], [0.0, 0.0])


def test_rates_are_swept():
    """Bounds belong to each rate."""
    gs = jnp.array([[1.0, -2.0], [0.5, 3.0]])

    def last(learning_rate):
        return agreement.run(gradtx.adabound(learning_rate, gamma=1.0), gs)[0][-1]

    rates = jnp.array([1e-3, 1e-1])
    got = jax.vmap(lambda r: _play(gradtx.adabound(r, gamma=1.0), gs))(rates)
    np.testing.assert_allclose(got, [last(1e-3), last(1e-1)], rtol=1e-5)


def _play(tx, gs):
    state, u = tx.init(gs[0]), gs[0]
    for g in gs:
        u, state = tx.update(g, state)
    return u


@pytest.mark.parametrize("tx", [gradtx.scale_by_adabound(eps=0.0), gradtx.scale_by_amsbound(eps=0.0)], ids=repr)
def test_zero_and_huge(tx):
    us, state = agreement.run(tx, jnp.array([[0.0, 1e25], [0.0, -1e25], [0.0, 1.0]]))
    assert not us[:, 0].any()
    assert np.isfinite(us).all()
    assert np.isfinite(state.nu).all()


@pytest.mark.parametrize(("name", "value"), [("b1", 1.0), ("eps", -1.0), ("final_factor", -1.0), ("gamma", 0.0)])
def test_out_of_range(name, value):
    for factory in (gradtx.scale_by_adabound, gradtx.scale_by_amsbound):
        with pytest.raises(ValueError, match=f"{name} must be"):
            factory(**{name: value})
    with pytest.raises(ValueError, match="final_learning_rate must be"):
        gradtx.adabound(0.1, final_learning_rate=-1.0)
