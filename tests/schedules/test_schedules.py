"""Schedules: their values at the ends and between, and what a step sees of them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

VALUES = {
    "constant": (gradtx.constant_schedule(0.1), {0: 0.1, 1: 0.1, 10**9: 0.1}),
    "linear": (gradtx.linear_schedule(1.0, 0.2, 4), {0: 1.0, 1: 0.8, 2: 0.6, 4: 0.2, 5: 0.2, 2**31 - 1: 0.2}),
    "linear, later": (gradtx.linear_schedule(1.0, 0.2, 4, 3), {0: 1.0, 3: 1.0, 4: 0.8, 7: 0.2, 8: 0.2}),
    "linear, up": (gradtx.linear_schedule(0.0, 1.0, 10), {0: 0.0, 5: 0.5, 10: 1.0, 11: 1.0}),
    "exponential": (gradtx.exponential_decay(2.0, 10, 0.25), {0: 2.0, 5: 1.0, 10: 0.5, 20: 0.125}),
    "staircase": (gradtx.exponential_decay(2.0, 10, 0.5, staircase=True), {0: 2.0, 9: 2.0, 10: 1.0, 19: 1.0, 20: 0.5}),
    "cosine": (gradtx.cosine_decay_schedule(2.0, 10), {0: 2.0, 5: 1.0, 10: 0.0, 11: 0.0}),
    "cosine, alpha": (
        gradtx.cosine_decay_schedule(2.0, 12, 0.1),
        {0: 2.0, 4: 2 * (0.9 * 0.75 + 0.1), 6: 1.1, 12: 0.2, 100: 0.2},
    ),
    "warmup": (
        gradtx.warmup_cosine_decay_schedule(0.1, 1.1, 10, 30, 0.5),
        {0: 0.1, 5: 0.6, 10: 1.1, 20: 0.8, 30: 0.5, 31: 0.5, 1000: 0.5},
    ),
    "no warmup": (gradtx.warmup_cosine_decay_schedule(0.3, 1.0, 0, 10), {0: 1.0, 5: 0.5, 10: 0.0}),
}


@pytest.mark.parametrize(("schedule", "values"), VALUES.values(), ids=VALUES.keys())
class TestValues:
    def test_of_python_steps(self, schedule, values):
        for step, value in values.items():
            assert float(schedule(step)) == pytest.approx(value, abs=2e-6)

    def test_of_traced_steps(self, schedule, values):
        at = jax.jit(lambda step: jnp.asarray(schedule(step), jnp.float32))
        for step, value in values.items():
            assert float(at(jnp.int32(step))) == pytest.approx(value, abs=2e-6)

    def test_the_rate_of_a_step(self, schedule, values):
        """The first update sees step 0, the next step 1, and so on."""
        tx = gradtx.sgd(schedule)
        state = tx.init(jnp.zeros(1))
        for step in range(6):
            u, state = tx.update(jnp.ones(1), state)
            assert float(u[0]) == pytest.approx(-float(schedule(step)), abs=2e-6)


def test_warmup_meets_the_decay_at_the_peak():
    schedule = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000)
    before, at, after = (float(schedule(t)) for t in (99, 100, 101))
    assert at == 1.0
    assert before == pytest.approx(0.99)
    assert 0 < 1 - after < 1e-4


def test_a_plain_function_is_a_schedule():
    tx = gradtx.sgd(lambda step: 0.1 * 0.5**step)
    state, seen = tx.init(jnp.zeros(())), []
    for _ in range(3):
        u, state = tx.update(jnp.ones(()), state)
        seen.append(float(u))
    np.testing.assert_allclose(seen, [-0.1, -0.05, -0.025], rtol=1e-6)


class TestSweep:
    def test_of_a_schedule_s_arguments(self):
        rates = jnp.array([0.1, 0.2, 0.4])
        schedules = jax.vmap(lambda x: gradtx.linear_schedule(x, 0.0, 10))(rates)
        got = jax.vmap(lambda s: s(jnp.int32(5)))(schedules)
        np.testing.assert_allclose(got, rates / 2, rtol=1e-6)

    def test_of_optimizers_with_schedules(self):
        def end(peak):
            tx, w = gradtx.sgd(gradtx.cosine_decay_schedule(peak, 10)), jnp.array([1.0, -2.0])
            state = tx.init(w)
            for _ in range(3):
                u, state = tx.update(w, state, w)
                w = gradtx.apply_updates(w, u)
            return w

        peaks = jnp.array([0.1, 0.2])
        np.testing.assert_allclose(jax.vmap(end)(peaks), jnp.stack([end(p) for p in peaks]), rtol=1e-6)

    def test_the_derivative_with_respect_to_an_argument(self):
        got = jax.grad(lambda x: gradtx.exponential_decay(2.0, 10, x)(jnp.int32(5)))(jnp.float32(0.25))
        assert float(got) == pytest.approx(2.0 * 0.5 * 0.25**-0.5, rel=1e-5)


class TestErrors:
    CALLS = (
        (lambda: gradtx.constant_schedule(math.nan), "constant_schedule: value must be finite"),
        (lambda: gradtx.linear_schedule(1.0, 0.0, 0), "linear_schedule: transition_steps must be greater than 0"),
        (lambda: gradtx.linear_schedule(1.0, 0.0, 5, -1), "transition_begin must be finite and at least 0"),
        (lambda: gradtx.linear_schedule(math.inf, 0.0, 5), "init_value must be finite"),
        (lambda: gradtx.exponential_decay(1.0, 0, 0.5), "transition_steps must be greater than 0"),
        (lambda: gradtx.exponential_decay(1.0, 5, 0.0), "decay_rate must be greater than 0"),
        (lambda: gradtx.cosine_decay_schedule(1.0, 0), "decay_steps must be greater than 0"),
        (lambda: gradtx.cosine_decay_schedule(1.0, 5, math.nan), "alpha must be finite"),
        (lambda: gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10), "decay_steps - warmup_steps must be greater"),
        (lambda: gradtx.warmup_cosine_decay_schedule(0.0, 1.0, -1, 10), "warmup_steps must be finite and at least 0"),
    )

    @pytest.mark.parametrize(("call", "message"), CALLS)
    def test_arguments(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()

    def test_schedules_are_not_made_of_schedules(self):
        with pytest.raises(TypeError, match=r"init_value.* a number"):
            gradtx.linear_schedule(gradtx.constant_schedule(1.0), 0.0, 5)

    def test_what_is_no_number_or_no_scalar(self):
        with pytest.raises(ValueError, match="must return a scalar"):
            gradtx.sgd(lambda step: jnp.ones(2)).init(jnp.zeros(2))
        with pytest.raises(TypeError, match="must return a"):
            gradtx.sgd(lambda step: "0.1").init(jnp.zeros(2))
