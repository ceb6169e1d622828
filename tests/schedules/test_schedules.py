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
        (lambda: gradtx.linear_schedule(1.0, 0.0, math.inf), "transition_steps must be finite; got inf"),
        (lambda: gradtx.linear_schedule(1.0, 0.0, 5, -1), "transition_begin must be finite and at least 0"),
        (lambda: gradtx.linear_schedule(math.inf, 0.0, 5), "init_value must be finite"),
        (lambda: gradtx.polynomial_schedule(1.0, 0.0, 0.0, 5), "polynomial_schedule: power must be greater than 0"),
        (lambda: gradtx.polynomial_schedule(1.0, 0.0, 2.0, 0), "transition_steps must be greater than 0"),
        (lambda: gradtx.exponential_decay(1.0, 0, 0.5), "transition_steps must be greater than 0"),
        (lambda: gradtx.exponential_decay(1.0, 5, 0.0), "decay_rate must be greater than 0"),
        (lambda: gradtx.exponential_decay(1.0, 5, 0.5, -2), "transition_begin must be finite and at least 0"),
        (lambda: gradtx.exponential_decay(1.0, 5, 0.5, end_value=math.nan), "end_value must be finite"),
        (lambda: gradtx.inverse_time_schedule(1.0, 0, 0.5), "transition_steps must be greater than 0"),
        (lambda: gradtx.inverse_time_schedule(1.0, 5, -0.5), "decay_rate must be finite and at least 0"),
        (lambda: gradtx.inverse_sqrt_schedule(0.0, 1.0, 0), "warmup_steps must be greater than 0"),
        (lambda: gradtx.cosine_decay_schedule(1.0, 0), "decay_steps must be greater than 0"),
        (lambda: gradtx.cosine_decay_schedule(1.0, 5, math.nan), "alpha must be finite"),
        (lambda: gradtx.cosine_decay_schedule(1.0, 5, 0.0, 0.0), "exponent must be greater than 0"),
        (lambda: gradtx.cosine_restarts_schedule(1.0, 0), "first_decay_steps must be greater than 0"),
        (lambda: gradtx.cosine_restarts_schedule(1.0, 5, 0.9), "t_mul must be finite and at least 1; got 0.9"),
        (lambda: gradtx.cosine_restarts_schedule(1.0, 5, m_mul=-1.0), "m_mul must be finite and at least 0"),
        (lambda: gradtx.linear_onecycle_schedule(0, 1.0), "transition_steps must be greater than 0"),
        (lambda: gradtx.linear_onecycle_schedule(9, 1.0, 1.5), r"pct_start must be in \[0, 1\]; got 1.5"),
        (lambda: gradtx.linear_onecycle_schedule(9, 1.0, 0.5, 0.5), "pct_final - pct_start must be greater than 0"),
        (lambda: gradtx.cosine_onecycle_schedule(9, 1.0, div_factor=0.0), "div_factor must be greater than 0"),
        (lambda: gradtx.cyclic_schedule(0.0, 1.0, 0), "steps_up must be greater than 0"),
        (lambda: gradtx.cyclic_schedule(0.0, 1.0, 5, 0), "steps_down must be greater than 0"),
        (lambda: gradtx.cyclic_schedule(0.0, 1.0, 5, gamma=0.0), "gamma must be greater than 0"),
        (lambda: gradtx.warmup_constant_schedule(0.0, math.nan, 5), "warmup_constant_schedule: peak_value must be fin"),
        (lambda: gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, 10), "decay_steps - warmup_steps must be greater"),
        (lambda: gradtx.warmup_cosine_decay_schedule(0.0, 1.0, -1, 10), "warmup_steps must be finite and at least 0"),
        (lambda: gradtx.warmup_exponential_decay_schedule(0.0, 1.0, 5, 0, 0.5), "transition_steps must be greater"),
        (lambda: gradtx.warmup_schedule(1.0, -1), "warmup_schedule: warmup_steps must be finite and at least 0"),
        (lambda: gradtx.warmup_schedule(math.nan, 5), "warmup_schedule: schedule must be finite"),
        (lambda: gradtx.warmup_stable_decay_schedule(0.0, 1.0, 5, 5, 0), "decay_steps must be greater than 0"),
        (lambda: gradtx.warmup_stable_decay_schedule(0.0, 1.0, 5, -5, 5), "stable_steps must be finite and at least 0"),
        (
            lambda: gradtx.warmup_stable_decay_schedule(0.0, 1.0, 5, 5, 5, decay_shape="squrt"),
            "decay_shape must be one of 'linear', 'cosine', 'sqrt'; got 'squrt' .did you mean 'sqrt'",
        ),
        (
            lambda: gradtx.piecewise_interpolate_schedule("lin", 1.0, {5: 0.5}),
            "interpolate_type must be one of 'linear', 'cosine'; got 'lin'",
        ),
        (
            lambda: gradtx.piecewise_constant_schedule(1.0, {-1: 0.5}),
            "a key of boundaries_and_scales must be at least 0; got -1",
        ),
        (
            lambda: gradtx.piecewise_constant_schedule(1.0, {1: -0.5}),
            r"boundaries_and_scales\[1\] must be finite and at",
        ),
        (
            lambda: gradtx.piecewise_interpolate_schedule("cosine", 1.0, {0: 0.5}),
            "a key of boundaries_and_scales must be at least 1; got 0",
        ),
        (
            lambda: gradtx.join_schedules([1.0, 2.0], []),
            "join_schedules: boundaries must be one fewer than schedules.*got 2 schedules and 0 boundaries",
        ),
        (lambda: gradtx.join_schedules([], []), "got 0 schedules and 0 boundaries"),
        (lambda: gradtx.join_schedules([1.0, 2.0, 3.0], [9, 5]), "join_schedules: boundaries must increase; got 9, 5"),
        (lambda: gradtx.join_schedules([1.0, 2.0, 3.0], [5, 5]), "boundaries must increase; got 5, 5"),
        (lambda: gradtx.join_schedules([1.0, 2.0], [-5]), r"boundaries\[0\] must be finite and at least 0; got -5"),
        (lambda: gradtx.join_schedules([1.0, math.inf], [5]), r"schedules\[1\] must be finite; got inf"),
    )

    def test_arguments(self):
        for call, message in self.CALLS:
            with pytest.raises(ValueError, match=message):
                call()

    WRONG = (
        (lambda: gradtx.linear_schedule(gradtx.constant_schedule(1.0), 0.0, 5), r"init_value.* a number"),
        (
            lambda: gradtx.join_schedules([gradtx.constant_schedule, 1.0], [5]),
            r"schedules\[0\] must be a number or a schedule; did you forget to call it: constant_schedule\(...\)",
        ),
        (
            lambda: gradtx.warmup_schedule(gradtx.linear_schedule, 5),
            r"did you forget to call it: linear_schedule\(...\)",
        ),
        (lambda: gradtx.sgd(gradtx.linear_schedule), r"did you forget to call it: linear_schedule\(...\)"),
        (lambda: gradtx.join_schedules(gradtx.constant_schedule(1.0), [5]), "schedules must be a tuple"),
        (lambda: gradtx.join_schedules([1.0, 2.0], 5), "boundaries must be a tuple; got 5"),
        (lambda: gradtx.join_schedules([1.0, 2.0], [lambda step: step]), r"boundaries\[0\] is read once"),
        (lambda: gradtx.piecewise_constant_schedule(1.0, [(5, 0.5)]), "boundaries_and_scales must be a dict"),
        (
            lambda: gradtx.piecewise_constant_schedule(1.0, {5.0: 0.5}),
            "a key of boundaries_and_scales must be a whole number; got 5.0",
        ),
        (lambda: gradtx.piecewise_constant_schedule(1.0, {5: "half"}), r"boundaries_and_scales\[5\] must be a number"),
        (
            lambda: gradtx.cosine_decay_schedule(1.0, decay_step=5),
            r"no argument 'decay_step' .did you mean 'decay_steps'",
        ),
    )

    def test_types(self):
        for call, message in self.WRONG:
            with pytest.raises(TypeError, match=message):
                call()

    def test_what_is_no_number_or_no_scalar(self):
        with pytest.raises(ValueError, match="must return a scalar"):
            gradtx.sgd(lambda step: jnp.ones(2)).init(jnp.zeros(2))
        with pytest.raises(TypeError, match="must return a"):
            gradtx.sgd(lambda step: "0.1").init(jnp.zeros(2))


class TestParts:
    """A part of a join is asked for no step outside of it, so that what it would be there can do no harm."""

    def test_a_following_schedule_never_sees_a_step_below_0(self):
        def root(step):  # NaN below -1
            return jnp.sqrt(jnp.asarray(step, float) + 1.0)

        joined = gradtx.join_schedules([lambda step: 1.0, root], [10])
        warmed = gradtx.warmup_schedule(root, 10)
        for schedule in (joined, warmed, joined * warmed):
            slopes = jax.vmap(jax.grad(lambda s, t: s(t)), (None, 0))(schedule, jnp.arange(10))
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))

    def test_a_join_of_two_is_a_warm_up(self):
        decay = gradtx.cosine_decay_schedule(1.0, 50)
        joined = gradtx.join_schedules([gradtx.linear_schedule(0.0, 1.0, 10), decay], [10])
        warmed = gradtx.warmup_schedule(decay, 10)
        whole = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, 60)
        steps = jnp.arange(70)
        np.testing.assert_array_equal(joined(steps), warmed(steps))
        np.testing.assert_allclose(joined(steps), whole(steps), rtol=1e-6, atol=1e-7)

    def test_every_schedule_has_a_warm_up(self):
        steps = jnp.arange(40)
        for schedule in (
            gradtx.piecewise_constant_schedule(1.0, {5: 0.5}),
            gradtx.cosine_restarts_schedule(1.0, 6),
            gradtx.cyclic_schedule(0.5, 1.0, 3),
            gradtx.cosine_onecycle_schedule(20, 1.0),
            gradtx.inverse_time_schedule(1.0, 3, 1.0),
        ):
            warmed = gradtx.warmup_schedule(schedule, 8, 0.25)
            got, plain = map(np.asarray, jax.jit(lambda t, a=warmed, b=schedule: (a(t), b(t)))(steps))
            np.testing.assert_allclose(got[:8], 0.25 + (plain[0] - 0.25) * np.arange(8) / 8, rtol=1e-6)
            np.testing.assert_allclose(got[8:], plain[:-8], rtol=1e-6)
