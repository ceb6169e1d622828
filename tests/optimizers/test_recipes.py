"""What all recipes have in common: what they refuse, and hyperparameters that follow schedules."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import chain
from gradtx.catalog import RECIPES


def rate(step):
    return 0.1 / (1 + step)


def annotation(entry):
    """That of the learning rate; None for a recipe without one."""
    rate = inspect.signature(entry.factory).parameters.get("learning_rate")
    return None if rate is None else rate.annotation


def named(*annotations):
    return pytest.mark.parametrize(
        "entry", [e for e in RECIPES.values() if annotation(e) in annotations], ids=lambda entry: entry.name
    )


class TestErrors:
    @named("Hyper")
    def test_rates(self, entry):
        with pytest.raises(ValueError, match=r"\blearning_rate must be (finite and at least 0|greater than 0)"):
            entry.make(learning_rate=-0.1)

    @named("Number")
    def test_first_rates_cannot_follow_a_schedule(self, entry):
        with pytest.raises(TypeError, match=f"{entry.name}: learning_rate is read once and cannot follow a schedule"):
            entry.make(learning_rate=rate)

    @pytest.mark.parametrize("factory", [gradtx.sgd, gradtx.adam, gradtx.adamw, gradtx.rmsprop])
    def test_a_rate_must_be_given(self, factory):
        with pytest.raises(TypeError, match="learning_rate"):
            factory()

    @pytest.mark.parametrize(
        "entry", [e for e in RECIPES.values() if e.usual.get("weight_decay") is not None], ids=lambda entry: entry.name
    )
    def test_decay_needs_the_parameters(self, entry):
        g, tx = jnp.ones(2), entry.make(weight_decay=0.1)
        with pytest.raises(ValueError, match=r"needs the parameters|call update\(updates, state, params\)"):
            tx.update(g, tx.init(g), **dict.fromkeys(tx.extras.needed, 1.0))


SCHEDULED = {
    "learning_rate": (gradtx.adam, {"learning_rate": rate}),
    "weight_decay": (gradtx.adamw, {"learning_rate": 0.1, "weight_decay": lambda t: 0.1 * (t + 1)}),
    "b2": (gradtx.adam, {"learning_rate": 0.1, "b2": lambda t: 1 - (t + 1.0) ** -0.8}),
    "b1": (gradtx.adam, {"learning_rate": 0.1, "b1": lambda t: 0.9 - 0.1 * t}),
    "eps": (gradtx.rmsprop, {"learning_rate": 0.1, "eps": gradtx.exponential_decay(1.0, 1, 0.1)}),
    "momentum": (gradtx.sgd, {"learning_rate": 0.1, "momentum": gradtx.linear_schedule(0.5, 0.9, 4)}),
    "two": (gradtx.adamw, {"learning_rate": rate, "weight_decay": lambda t: 0.1 * (t + 1)}),
    **{
        f"eta_plus of {name}": (entry.factory, {"learning_rate": 0.1, "eta_plus": lambda t: 1.1 + 0.1 * t})
        for name, entry in RECIPES.items()
        if "eta_plus" in entry.usual
    },
}


@pytest.mark.parametrize(("factory", "arguments"), SCHEDULED.values(), ids=SCHEDULED.keys())
def test_any_hyperparameter_follows_a_schedule(factory, arguments):
    """As one transformation a step, each made with the numbers of its step; the first sees step 0."""
    tx, w = factory(**arguments), jnp.array([-15.0, 20.0])
    state, by_hand, inner = tx.init(w), w, None
    for t in range(6):
        at_t = {k: v if isinstance(v, float) else float(v(t)) for k, v in arguments.items()}
        step = factory(**at_t)
        inner = step.init(w) if inner is None else inner
        u, state = tx.update(jnp.array([6.0, 20.0]) * w, state, w)
        expected, inner = step.update(jnp.array([6.0, 20.0]) * by_hand, inner, by_hand)
        np.testing.assert_allclose(u, expected, rtol=1e-4)
        w, by_hand = gradtx.apply_updates(w, u), gradtx.apply_updates(by_hand, expected)
        seen = {k.rpartition("/")[2]: float(v) for k, v in gradtx.hyperparameters(state).items()}
        used = [at_t[k] for k in arguments if not isinstance(arguments[k], float)]
        np.testing.assert_allclose(sorted(seen.values()), sorted(used), rtol=1e-6)


class TestHyperparameters:
    def test_before_and_after_the_first_update(self):
        tx = gradtx.sgd(lambda t: 0.1 * (t + 1))
        state = tx.init(jnp.zeros(2))
        for expected in (0.1, 0.1, 0.2, 0.3):  # at init: that of the first update
            assert float(gradtx.hyperparameters(state)["learning_rate"]) == pytest.approx(expected)
            _, state = tx.update(jnp.ones(2), state)

    def test_none_without_schedules(self):
        assert gradtx.hyperparameters(gradtx.adam(0.1).init(jnp.zeros(2))) == {}

    def test_two_of_a_name_are_told_apart(self):
        tx = chain(gradtx.scale(lambda t: 1.0), gradtx.scale(lambda t: 2.0))
        held = gradtx.hyperparameters(tx.init(jnp.zeros(2)))
        assert {k: float(v) for k, v in held.items()} == {"scale/step_size": 1.0, "scale_1/step_size": 2.0}

    def test_all_under_inject_and_changed_by_hand(self):
        tx = gradtx.inject(gradtx.sgd(0.1, 0.9))
        state = tx.init(jnp.zeros(2))
        assert set(gradtx.hyperparameters(state)) == {"learning_rate", "momentum"}
        state = state._replace(hyperparameters={**state.hyperparameters, "learning_rate": jnp.float32(0.5)})
        u, state = tx.update(jnp.ones(2), state)
        np.testing.assert_allclose(u, -0.5)
        assert float(gradtx.hyperparameters(state)["learning_rate"]) == 0.5
