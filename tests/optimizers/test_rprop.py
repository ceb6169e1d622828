"""Rprop and SuperSAB, against the loops of their papers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import assert_same_chain
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_rprop(), partial(reference.rprop, first=1e-3), ulp=10, signs_cancel=False),
    Case(
        gradtx.scale_by_rprop(0.1, 0.4, 1.3, 1e-3, 2.0),
        partial(reference.rprop, first=0.1, minus=0.4, plus=1.3, smallest=1e-3, largest=2.0),
        ulp=10,
        signs_cancel=False,
    ),
    Case(gradtx.scale_by_supersab(), partial(reference.supersab, first=1e-2), ulp=40),
    Case(
        gradtx.scale_by_supersab(0.1, 0.7, 1.2, 0.5, 1e-3, 2.0),
        partial(reference.supersab, first=0.1, minus=0.7, plus=1.2, mu=0.5, smallest=1e-3, largest=2.0),
        ulp=40,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


@partial(jax.jit, static_argnums=0)
def step(tx, g, state):
    return tx.update(g, state)


def updates(tx, gs):
    state, out = tx.init(jnp.zeros(())), []
    for g in gs:
        u, state = step(tx, np.float32(g), state)
        out.append(float(u))
    return out, state


class TestRprop:
    def test_the_first_update_is_the_first_gradient_s(self):
        tx = gradtx.rprop(0.1)
        u, _ = tx.update(jnp.array([5.0, -1e-3, 0.0]), tx.init(jnp.zeros(3)))
        np.testing.assert_array_equal(u, np.float32([-0.1, 0.1, 0.0]))

    def test_no_step_is_lost(self):
        """Every update answers the gradient it was given, at once."""
        us, _ = updates(gradtx.rprop(0.1), [1, 1, -1, -1, 1, 0, 1])
        # flips stand still, and so does the gradient 0; after either, the size stays
        np.testing.assert_allclose(us, [-0.1, -0.12, 0.0, 0.06, 0.0, 0.0, -0.03], rtol=1e-6)

    def test_bounds(self):
        us, _ = updates(gradtx.scale_by_rprop(1.0, max_step_size=1.5), [1] * 5)
        np.testing.assert_allclose(us, [1.0, 1.2, 1.44, 1.5, 1.5], rtol=1e-6)
        _, state = updates(gradtx.scale_by_rprop(1.0, min_step_size=0.4), [1, -1, 0, 1, -1, 1, -1])
        assert float(state.step_sizes) == np.float32(0.4)

    def test_it_finds_the_minimum_of_a_quadratic(self):
        w, tx = jnp.array([-15.0, 20.0]), gradtx.rprop(0.1)
        state = tx.init(w)
        for _ in range(200):
            u, state = step(tx, jnp.array([6.0, 20.0]) * w, state)
            w = gradtx.apply_updates(w, u)
        assert np.abs(w).max() < 1e-4


class TestSupersab:
    def test_rates_follow_the_sign(self):
        tx = gradtx.scale_by_supersab(0.1, momentum=0.0)
        state = tx.init(jnp.zeros(()))
        rates = []
        for g in (1.0, 2.0, 0.5, -1.0, -1.0, -1.0, 1.0):
            _, state = step(tx, np.float32(g), state)
            rates.append(float(state.rates))
        #        first, held, held, flipped (undone), compared with none, held, flipped
        want = np.cumprod([0.1, 1.05, 1.05, 0.5, 1.0, 1.05, 0.5])
        np.testing.assert_allclose(rates, want, rtol=1e-6)

    def test_undo_goes_back_exactly(self):
        """After a flip the point is, to the bit, what it was before the step that crossed the minimum."""
        w, tx = jnp.array([0.5, 1.0, -3.0]), gradtx.supersab(0.25)
        slopes = jnp.array([1.0, 8.0, 4.5])
        state, before, last, undone = tx.init(w), w, w, 0
        for _ in range(60):
            g = slopes * w
            flipped = np.asarray(g * state["scale_by_supersab"].prev_sign < 0)
            u, state = step(tx, g, state)
            new = gradtx.apply_updates(w, u)
            np.testing.assert_array_equal(np.asarray(u)[flipped], -np.asarray(last)[flipped])
            np.testing.assert_allclose(np.asarray(new)[flipped], np.asarray(before)[flipped], rtol=3e-7)
            undone += int(flipped.sum())
            w, before, last = new, w, u
        assert undone > 5

    def test_undo_of_steps_without_rounding_is_bit_for_bit(self):
        w, tx = jnp.array(1.0), gradtx.supersab(0.5, momentum=0.5)
        state = tx.init(w)
        u, state = tx.update(jnp.array(3.0), state)
        there = gradtx.apply_updates(w, u)
        u, state = tx.update(jnp.array(-1.0), state)
        assert float(gradtx.apply_updates(there, u)) == 1.0
        assert float(state["scale_by_supersab"].rates) == 0.25
        assert float(state["scale_by_supersab"].prev_update) == 0.0

    def test_no_momentum_and_no_comparison_after_an_undo(self):
        us, state = updates(gradtx.scale_by_supersab(0.1), [1.0, -1.0, -1.0])
        np.testing.assert_allclose(us, [0.1, -0.1, -0.05], rtol=1e-6)
        assert float(state.rates) == pytest.approx(0.05)

    def test_bounds(self):
        _, state = updates(gradtx.scale_by_supersab(1.0, max_learning_rate=1.2), [1.0] * 6)
        assert float(state.rates) == np.float32(1.2)
        _, state = updates(gradtx.scale_by_supersab(1.0, min_learning_rate=0.4), [1, -1, 1, -1, 1, -1])
        assert float(state.rates) == np.float32(0.4)

    def test_it_finds_the_minimum_of_a_quadratic(self):
        w, tx = jnp.array([-15.0, 20.0]), gradtx.supersab(0.01)
        state = tx.init(w)
        for _ in range(300):
            u, state = step(tx, jnp.array([6.0, 20.0]) * w, state)
            w = gradtx.apply_updates(w, u)
        assert np.abs(w).max() < 1e-2


@pytest.mark.parametrize("factory", [gradtx.scale_by_rprop, gradtx.scale_by_supersab])
def test_errors(factory):
    for name, value in [("learning_rate", 0.0), ("eta_minus", 1.1), ("eta_plus", 0.9)]:
        with pytest.raises(ValueError, match=f"{name} must be"):
            factory(**{name: value})
    with pytest.raises(TypeError, match="cannot follow a schedule"):
        factory(lambda step: 0.1)


def test_chains():
    down = gradtx.scale(-1.0)
    assert_same_chain(gradtx.rprop(0.1, 0.4, 1.3, 1e-3, 2.0), gradtx.scale_by_rprop(0.1, 0.4, 1.3, 1e-3, 2.0), down)
    numbers = (0.1, 0.4, 1.3, 0.5, 1e-3, 2.0)
    assert_same_chain(gradtx.supersab(*numbers), gradtx.scale_by_supersab(*numbers), down)
