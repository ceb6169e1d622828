"""Each recipe is the chain that its docstring names, written out by hand; and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import chain

RATE = 0.05


def rate(step):
    return 0.1 / (1 + step)


lr = gradtx.scale_by_learning_rate
RECIPES = {
    "sgd": (gradtx.sgd(RATE), chain(lr(RATE))),
    "sgd momentum": (gradtx.sgd(RATE, 0.8), chain(gradtx.add_momentum(0.8), lr(RATE))),
    "sgd nesterov": (gradtx.sgd(RATE, 0.8, True), chain(gradtx.add_nesterov_momentum(0.8), lr(RATE))),
    "sgd dampening": (gradtx.sgd(RATE, 0.8, dampening=0.3), chain(gradtx.add_damped_momentum(0.8, 0.3), lr(RATE))),
    "sgd schedule": (gradtx.sgd(rate, 0.8), chain(gradtx.add_momentum(0.8), lr(rate))),
    "adagrad": (gradtx.adagrad(RATE), chain(gradtx.accumulate_squares(0.1, 1e-7), lr(RATE))),
    "adagrad outside": (
        gradtx.adagrad(RATE, 0.0, 1e-10, eps_in_sqrt=False),
        chain(gradtx.accumulate_squares(0.0, 1e-10, eps_in_sqrt=False), lr(RATE)),
    ),
    "rmsprop": (gradtx.rmsprop(RATE), chain(gradtx.scale_by_rms(0.9, 1e-8, 0.0), lr(RATE))),
    "rmsprop all": (
        gradtx.rmsprop(RATE, 0.8, 1e-4, 0.5, False, False, None, False, True),
        chain(gradtx.scale_by_rms(0.8, 1e-4, 0.5, eps_in_sqrt=False, bias_correction=True), lr(RATE)),
    ),
    "rmsprop centered": (
        gradtx.rmsprop(RATE, 0.8, 1e-4, 0.5, False, True),
        chain(gradtx.scale_by_stddev(0.8, 1e-4, 0.5, eps_in_sqrt=False), lr(RATE)),
    ),
    "rmsprop momentum": (
        gradtx.rmsprop(rate, momentum=0.7),
        chain(gradtx.scale_by_rms(), lr(rate), gradtx.add_momentum(0.7)),
    ),
    "rmsprop momentum after": (
        gradtx.rmsprop(rate, momentum=0.7, nesterov=True, rate_in_momentum=False),
        chain(gradtx.scale_by_rms(), gradtx.add_nesterov_momentum(0.7), lr(rate)),
    ),
    "adadelta": (gradtx.adadelta(), chain(gradtx.scale_by_adadelta(0.9, 1e-6), lr(1.0))),
    "adam": (gradtx.adam(RATE), chain(gradtx.scale_by_adam(0.9, 0.999, 1e-8, 0.0), lr(RATE))),
    "adam nesterov": (
        gradtx.adam(RATE, 0.8, 0.99, 1e-6, 1e-5, nesterov=True),
        chain(gradtx.scale_by_nadam(0.8, 0.99, 1e-6, 1e-5), lr(RATE)),
    ),
    "adamw": (
        gradtx.adamw(RATE),
        chain(gradtx.scale_by_adam(), gradtx.add_decayed_weights(1e-4), lr(RATE)),
    ),
    "adamw nesterov": (
        gradtx.adamw(rate, 0.8, weight_decay=0.1, nesterov=True),
        chain(gradtx.scale_by_nadam(0.8), gradtx.add_decayed_weights(0.1), lr(rate)),
    ),
    "amsgrad": (gradtx.amsgrad(RATE), chain(gradtx.scale_by_amsgrad(), lr(RATE))),
    "amsgrad raw": (
        gradtx.amsgrad(RATE, 0.8, maximum_of="raw"),
        chain(gradtx.scale_by_amsgrad(0.8, maximum_of="raw"), lr(RATE)),
    ),
    "nadam": (gradtx.nadam(RATE), chain(gradtx.scale_by_nadam(), lr(RATE))),
    "nadam scheduled": (
        gradtx.nadam(RATE, momentum_decay=0.004),
        chain(gradtx.scale_by_scheduled_nadam(momentum_decay=0.004), lr(RATE)),
    ),
    "adamax": (gradtx.adamax(RATE, 0.8, 0.99, 1e-6), chain(gradtx.scale_by_adamax(0.8, 0.99, 1e-6), lr(RATE))),
    "lion": (gradtx.lion(RATE), chain(gradtx.scale_by_lion(), gradtx.add_decayed_weights(1e-3), lr(RATE))),
    "rprop": (
        gradtx.rprop(0.1, 0.4, 1.3, 1e-3, 2.0),
        chain(gradtx.scale_by_rprop(0.1, 0.4, 1.3, 1e-3, 2.0), gradtx.scale(-1.0)),
    ),
    "supersab": (
        gradtx.supersab(0.1, 0.4, 1.3, 0.5, 1e-3, 2.0),
        chain(gradtx.scale_by_supersab(0.1, 0.4, 1.3, 0.5, 1e-3, 2.0), gradtx.scale(-1.0)),
    ),
}


def trajectory(tx, steps=8):
    """Parameters along a quadratic, and the last state; in one scan."""
    w = {"a": jnp.array([-15.0, 20.0]), "b": jnp.array(0.5)}

    @jax.jit
    def scan(w):
        def step(carry, _):
            w, state = carry
            g = {"a": jnp.array([6.0, 20.0]) * w["a"], "b": w["b"]}
            u, state = tx.update(g, state, w)
            w = gradtx.apply_updates(w, u)
            return (w, state), w

        (_, state), ws = jax.lax.scan(step, (w, tx.init(w)), length=steps)
        return ws, state

    return scan(w)


@pytest.mark.parametrize(("recipe", "by_hand"), RECIPES.values(), ids=RECIPES.keys())
def test_recipe_is_its_chain(recipe, by_hand):
    """Bit for bit, states and all, with the same names in the state."""
    got, want = trajectory(recipe), trajectory(by_hand)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


class TestErrors:
    def test_sgd(self):
        with pytest.raises(ValueError, match=r"sgd: nesterov needs a momentum, for instance momentum=0\.9"):
            gradtx.sgd(0.1, nesterov=True)
        with pytest.raises(ValueError, match="sgd: dampening needs a momentum"):
            gradtx.sgd(0.1, dampening=0.5)
        with pytest.raises(ValueError, match="sgd: nesterov and dampening exclude each other"):
            gradtx.sgd(0.1, 0.9, nesterov=True, dampening=0.5)
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\]; got 1\.1"):
            gradtx.sgd(0.1, 1.1)
        with pytest.raises(ValueError, match=r"dampening must be in \[0, 1\]"):
            gradtx.sgd(0.1, 0.9, dampening=-0.1)

    def test_rmsprop(self):
        with pytest.raises(ValueError, match="rmsprop: nesterov needs a momentum"):
            gradtx.rmsprop(0.1, nesterov=True)
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\]"):
            gradtx.rmsprop(0.1, -0.1)

    def test_amsgrad(self):
        with pytest.raises(ValueError, match=r"maximum_of must be one of .*did you mean 'raw'"):
            gradtx.amsgrad(0.1, maximum_of="rwa")

    @pytest.mark.parametrize(
        "factory", [gradtx.sgd, gradtx.adam, gradtx.adamw, gradtx.rmsprop, gradtx.adagrad, gradtx.lion]
    )
    def test_rates(self, factory):
        with pytest.raises(ValueError, match="learning_rate must be finite and at least 0"):
            factory(-0.1)
        with pytest.raises(TypeError, match="learning_rate"):
            factory()

    @pytest.mark.parametrize("factory", [gradtx.rprop, gradtx.supersab])
    def test_first_rates_cannot_follow_a_schedule(self, factory):
        with pytest.raises(TypeError, match="cannot follow a schedule"):
            factory(rate)

    @pytest.mark.parametrize("tx", [gradtx.adamw(0.1), gradtx.lion(0.1)])
    def test_decay_needs_the_parameters(self, tx):
        g = jnp.ones(2)
        with pytest.raises(ValueError, match="needs the parameters"):
            tx.update(g, tx.init(g))


SCHEDULED = {
    "learning_rate": (gradtx.adam, {"learning_rate": rate}),
    "weight_decay": (gradtx.adamw, {"learning_rate": 0.1, "weight_decay": lambda t: 0.1 * (t + 1)}),
    "b2": (gradtx.adam, {"learning_rate": 0.1, "b2": lambda t: 1 - (t + 1.0) ** -0.8}),
    "b1": (gradtx.adam, {"learning_rate": 0.1, "b1": lambda t: 0.9 - 0.1 * t}),
    "eps": (gradtx.rmsprop, {"learning_rate": 0.1, "eps": gradtx.exponential_decay(1.0, 1, 0.1)}),
    "momentum": (gradtx.sgd, {"learning_rate": 0.1, "momentum": gradtx.linear_schedule(0.5, 0.9, 4)}),
    "two": (gradtx.adamw, {"learning_rate": rate, "weight_decay": lambda t: 0.1 * (t + 1)}),
    "eta_plus": (gradtx.rprop, {"learning_rate": 0.1, "eta_plus": lambda t: 1.1 + 0.1 * t}),
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
