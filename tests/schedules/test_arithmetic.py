"""Sums and products of schedules, as the operators make them: values, and values that behave as all values do."""

import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import product_schedules, sum_schedules

UP = gradtx.linear_schedule(0.0, 1.0, 10)
DOWN = gradtx.exponential_decay(0.5, 10, 0.5)
STEPS = (0, 1, 5, 10, 11, 1000)


def falling(step):
    return 0.1 / (1.0 + step)


def up(t):
    return min(t, 10) / 10


def down(t):
    return 0.5 * 0.5 ** (t / 10)


COMBINED = {
    "a + b": (UP + DOWN, lambda t: up(t) + down(t)),
    "a - b": (UP - DOWN, lambda t: up(t) - down(t)),
    "a * b": (UP * DOWN, lambda t: up(t) * down(t)),
    "-a": (-UP, lambda t: -up(t)),
    "a + 2": (UP + 2, lambda t: up(t) + 2),
    "2 + a": (2 + UP, lambda t: up(t) + 2),
    "a - 2": (UP - 2, lambda t: up(t) - 2),
    "2 - a": (2 - UP, lambda t: 2 - up(t)),
    "a * 2": (UP * 2, lambda t: 2 * up(t)),
    "2 * a": (2 * UP, lambda t: 2 * up(t)),
    "a / 2": (UP / 2, lambda t: up(t) / 2),
    "a / 3": (UP / 3.0, lambda t: up(t) / 3),
    "a + array": (UP + jnp.float32(0.25), lambda t: up(t) + 0.25),
    "array + a": (jnp.float32(0.25) + UP, lambda t: up(t) + 0.25),
    "array - a": (jnp.float32(0.25) - UP, lambda t: 0.25 - up(t)),
    "a * array": (UP * jnp.float32(0.5), lambda t: 0.5 * up(t)),
    "array * a": (jnp.float32(3.0) * UP, lambda t: 3 * up(t)),
    "a / array": (UP / jnp.float32(4.0), lambda t: up(t) / 4),
    "a / integers": (UP / jnp.int32(4), lambda t: up(t) / 4),
    "numpy * a": (np.float64(3.0) * UP, lambda t: 3 * up(t)),
    "numpy - a": (np.float32(3.0) - UP, lambda t: 3 - up(t)),
    "a * numpy": (UP * np.array(3.0), lambda t: 3 * up(t)),
    "a + function": (UP + falling, lambda t: up(t) + falling(t)),
    "function + a": (falling + UP, lambda t: up(t) + falling(t)),
    "function - a": (falling - UP, lambda t: falling(t) - up(t)),
    "a * function": (UP * falling, lambda t: up(t) * falling(t)),
    "function * a": (falling * UP, lambda t: up(t) * falling(t)),
    "nested": (
        (UP * DOWN - 0.25) * 2 + -(falling + DOWN) / 2 * UP,
        lambda t: (up(t) * down(t) - 0.25) * 2 - (falling(t) + down(t)) / 2 * up(t),
    ),
    "sum": (sum([UP, DOWN, 0.5]), lambda t: up(t) + down(t) + 0.5),
    "product of none": (product_schedules(), lambda t: 1.0),
    "sum of none": (sum_schedules(), lambda t: 0.0),
}


SCHEDULES = {name: combined for name, (combined, _) in COMBINED.items()}


@functools.cache
def traced():
    """By name, the values at STEPS where all numbers are traced."""
    at = jax.jit(lambda schedules, step: {name: jnp.asarray(s(step), float) for name, s in schedules.items()})
    return [at(SCHEDULES, jnp.int32(step)) for step in STEPS]


@functools.cache
def followed(inject):
    """By name, of three updates: the update and the hyperparameter."""
    make = gradtx.inject if inject else lambda tx: tx
    txs = {name: make(gradtx.scale(combined)) for name, combined in SCHEDULES.items()}
    update = jax.jit(lambda states: {name: tx.update(jnp.ones(()), states[name]) for name, tx in txs.items()})
    states, found = {name: tx.init(jnp.ones(())) for name, tx in txs.items()}, []
    for _ in range(3):
        made = update(states)
        states = {name: state for name, (_, state) in made.items()}
        held = {name: gradtx.hyperparameters(state)["step_size"] for name, state in states.items()}
        found.append({name: (float(u), float(held[name])) for name, (u, _) in made.items()})
    return found


@pytest.mark.parametrize("name", COMBINED)
class TestCombined:
    def test_values(self, name):
        combined, want = COMBINED[name]
        assert isinstance(combined, gradtx.Schedule)
        for step, under_jit in zip(STEPS, traced(), strict=True):
            assert float(combined(step)) == pytest.approx(want(step), rel=1e-6, abs=1e-7)
            assert float(under_jit[name]) == pytest.approx(want(step), rel=1e-6, abs=1e-7)

    def test_it_is_a_value_that_prints_as_python(self, name):
        combined, _ = COMBINED[name]
        assert eval(repr(combined), {**vars(gradtx), "jnp": jnp, "falling": falling}) == combined
        again = pickle.loads(pickle.dumps(combined))
        assert again == combined
        assert hash(again) == hash(combined)
        leaves, structure = jax.tree.flatten(combined)
        assert jax.tree.unflatten(structure, leaves) == combined
        assert all(isinstance(x, float) or x.shape == () for x in leaves)

    def test_in_a_hyperparameter(self, name):
        for inject in (False, True):
            for step, made in enumerate(followed(inject)):
                update, held = made[name]
                assert update == pytest.approx(COMBINED[name][1](step), rel=1e-6, abs=1e-7)
                assert held == update


def test_the_numbers_inside_are_leaves_by_name():
    paths = jax.tree_util.tree_flatten_with_path(UP * 0.5)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
    assert names[-1] == "1"
    assert names[0].endswith("/init_value")
    assert [x for _, x in paths] == [0.0, 1.0, 10.0, 0.0, 0.5]


def test_a_combination_is_swept_and_differentiated():
    def made(peak, rate):
        return gradtx.linear_schedule(0.0, peak, 10) * gradtx.exponential_decay(1.0, 10, rate) + 0.5 * peak

    peaks, rates = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 0.25, 0.1])
    got = jax.vmap(lambda s: s(jnp.int32(5)))(jax.vmap(made)(peaks, rates))
    np.testing.assert_allclose(got, [p * 0.5 * r**0.5 + 0.5 * p for p, r in zip(peaks, rates, strict=True)], rtol=1e-6)

    slope = jax.grad(lambda s: s(5))(made(2.0, 0.25))
    product, half = slope.terms
    assert float(product.factors[0].end_value) == pytest.approx(0.5 * 0.5, rel=1e-6)
    assert float(product.factors[1].decay_rate) == pytest.approx(1.0 * 0.5 * 0.25**-0.5, rel=1e-6)
    assert float(half) == 1.0


def test_a_combination_inside_others():
    joined = gradtx.join_schedules([UP * 2, DOWN + 0.5], [10])
    warmed = gradtx.warmup_schedule(UP * DOWN + 1.0, warmup_steps=4)
    assert float(joined(5)) == pytest.approx(2 * up(5))
    assert float(joined(20)) == pytest.approx(down(10) + 0.5)
    assert float(warmed(2)) == pytest.approx(0.5)
    assert float(warmed(9)) == pytest.approx(up(5) * down(5) + 1)


def test_replacing_what_is_inside():
    combined = UP * DOWN
    assert combined.factors == (UP, DOWN)
    assert product_schedules(combined.factors[0].replace(end_value=3.0), DOWN)(10) == pytest.approx(3 * down(10))


def test_the_order_of_the_operands_makes_no_other_value():
    for step in STEPS:
        assert float((UP * DOWN)(step)) == float((DOWN * UP)(step))
        assert float((UP + DOWN)(step)) == float((DOWN + UP)(step))


class TestErrors:
    def test_what_is_no_number_and_no_schedule(self):
        calls = (
            (lambda: UP * "x", TypeError, r"product_schedules: factors\[1\] must be a number.*got 'x'"),
            (lambda: UP + None, TypeError, r"sum_schedules: terms\[1\] must be a number.*got None"),
            (lambda: UP * True, TypeError, r"got the bool True"),
            (lambda: UP * gradtx.sgd(0.1), TypeError, r"got sgd"),
            (lambda: UP * 1j, TypeError, r"got 1j"),
            (lambda: UP * jnp.ones(3), ValueError, r"must be a scalar; got an array of shape \(3,\); .*jax.vmap"),
            (lambda: jnp.ones(3) * UP, ValueError, r"must be a scalar; got an array of shape \(3,\)"),
            (lambda: UP * gradtx.linear_schedule, TypeError, r"did you forget to call it: linear_schedule\(...\)"),
            (lambda: gradtx.linear_schedule + UP, TypeError, r"did you forget to call it: linear_schedule\(...\)"),
            (lambda: UP * math.nan, ValueError, r"product_schedules: factors\[1\] must be finite; got nan"),
            (lambda: UP + math.inf, ValueError, r"sum_schedules: terms\[1\] must be finite; got inf"),
        )
        for call, kind, message in calls:
            with pytest.raises(kind, match=message):
                call()

    def test_what_is_not_offered(self):
        for call in (lambda: UP / DOWN, lambda: 1.0 / UP, lambda: UP**2):
            with pytest.raises(TypeError, match="unsupported operand"):
                call()
        with pytest.raises(ZeroDivisionError):
            UP / 0
