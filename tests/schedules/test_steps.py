"""What a step is: counted from 0, whole up to 2**31 - 1, of any integer type; the ends to the bit."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference_schedules as loops

LAST = 2**31 - 1
ODD = 2**24 + 1  # the first whole number that float32 has not


def is_schedule(x):
    return isinstance(x, gradtx.Schedule)


def at(schedule, steps):
    """The values of a schedule, or of several in one program."""
    at_all = jax.jit(
        jax.vmap(lambda t: jax.tree.map(lambda s: jnp.asarray(s(t), float), schedule, is_leaf=is_schedule))
    )
    return jax.tree.map(np.asarray, at_all(jnp.asarray(steps, jnp.int32)))


@jax.jit
def _at_traced(schedule, steps):
    return jax.tree.map(lambda s: jnp.asarray(s(steps), float), schedule, is_leaf=is_schedule)


def at_traced(schedule, steps):
    """With every number of the schedule, or of several, a tracer."""
    return jax.tree.map(np.asarray, _at_traced(schedule, jnp.asarray(steps, jnp.int32)))


class TestTheFirstStep:
    """The first update sees step 0; the state shows the value that the last update used."""

    def test_through_sgd(self):
        tx = gradtx.sgd(lambda step: 1.0 + step)
        state = tx.init(jnp.zeros(()))
        assert gradtx.hyperparameters(state) == {"learning_rate": 1.0}  # before the first update: what it will use
        for step in range(4):
            u, state = tx.update(jnp.ones(()), state)
            assert float(u) == -(1.0 + step)
            assert gradtx.hyperparameters(state) == {"learning_rate": 1.0 + step}
            assert int(state["scale_by_learning_rate"].count) == step + 1

    def test_a_warm_up_from_zero_has_a_first_update_of_zero(self):
        tx = gradtx.sgd(gradtx.warmup_constant_schedule(0.0, 1.0, 2))
        state, seen = tx.init(jnp.zeros(())), []
        for _ in range(4):
            u, state = tx.update(jnp.ones(()), state)
            seen.append(-float(u))
        assert seen == [0.0, 0.5, 1.0, 1.0]

    def test_the_docstring_says_so(self):
        assert "the first update has step 0" in gradtx.Schedule.__doc__


class TestLargeSteps:
    """Where a float32 has no odd numbers any more."""

    def test_float32_would_not_do(self):
        assert np.float32(ODD) == np.float32(2**24)

    @pytest.mark.parametrize("begin", [2**24 - 2, ODD, 2**28 + 3, LAST - 9])
    def test_a_line_that_begins_late(self, begin):
        got = at(gradtx.linear_schedule(1.0, 0.0, 4, begin), [0, *(begin + k for k in range(-2, 8))])
        np.testing.assert_array_equal(got, [1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0, 0])

    @pytest.mark.parametrize("begin", [2**24 - 2, ODD, 2**28 + 3, LAST - 9])
    def test_jumps_and_joins(self, begin):
        steps = [begin + k for k in range(-2, 4)]
        jump = gradtx.piecewise_constant_schedule(1.0, {7: 0.5, begin: 0.5})
        curve = gradtx.piecewise_interpolate_schedule("linear", 1.0, {begin - 2: 1.0, begin + 2: 0.0})
        inner = gradtx.join_schedules([0.0, lambda step: step % 2], [3])
        joined = gradtx.join_schedules([5.0, inner], [begin])
        warmed = gradtx.warmup_schedule(lambda step: 1.0 + step, begin)
        stable = gradtx.warmup_stable_decay_schedule(0.0, 1.0, 10, begin - 12, 4)
        jump, curve, first, warmed, stable = at([jump, curve, joined, warmed, stable], steps)
        np.testing.assert_array_equal(jump, [0.5, 0.5, 0.25, 0.25, 0.25, 0.25])
        np.testing.assert_array_equal(curve, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
        np.testing.assert_array_equal(first, [5.0, 5.0, 0.0, 0.0, 0.0, 0.0])
        np.testing.assert_array_equal(at(joined, [begin + 3 + k for k in range(4)]), [0.0, 1.0, 0.0, 1.0])
        np.testing.assert_array_equal(warmed[2:], [1.0, 2.0, 3.0, 4.0])
        np.testing.assert_array_equal(stable, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0])

    def test_a_step_given_to_another_schedule_stays_whole(self):
        seen = []
        gradtx.join_schedules([0.0, lambda step: seen.append(step) or 0.0], [ODD])(jnp.int32(LAST))
        assert seen[0].dtype == jnp.int32
        assert int(seen[0]) == LAST - ODD

    def test_cycles(self):
        steps = np.array([0, 1, 2**24, 2**24 + 1, 2**30 + 1, LAST - 1, LAST])
        got = at(gradtx.cyclic_schedule(0.0, 1.0, 7, 10), steps)
        phase = steps % 17
        np.testing.assert_allclose(got, np.where(phase <= 7, phase / 7, (17 - phase) / 10), rtol=1e-6)
        got = at(gradtx.cosine_restarts_schedule(1.0, 1000, t_mul=1.0), steps)
        np.testing.assert_allclose(got, 0.5 * (1 + np.cos(np.pi * (steps % 1000) / 1000)), rtol=1e-5, atol=1e-7)

    def test_staircases(self):
        every, rate = 10**8 + 1, 0.5
        steps = np.array([k * every + d for k in range(1, 21) for d in (-1, 0, 1)])
        want = 0.5 ** (steps // every)
        np.testing.assert_array_equal(at(gradtx.exponential_decay(1.0, every, rate, staircase=True), steps), want)
        got = at(gradtx.inverse_time_schedule(1.0, every, 1.0, staircase=True), steps)
        np.testing.assert_allclose(got, 1 / (1 + steps // every), rtol=1e-6)

    @pytest.mark.parametrize("length", [2**25 + 1, 2**30 + 1])
    def test_what_is_left_is_right_to_the_last_step(self, length):
        """Small values near the end of a long way have all their digits: the fraction that is left is not 1 - done."""
        steps = [length - k for k in (1, 2, 3, 1000)]
        left = np.array([k / length for k in (1, 2, 3, 1000)])
        np.testing.assert_allclose(at(gradtx.linear_schedule(1.0, 0.0, length), steps), left, rtol=1e-6)
        np.testing.assert_allclose(at(gradtx.polynomial_schedule(1.0, 0.0, 2, length), steps), left**2, rtol=2e-6)
        want = np.sin(0.5 * np.pi * left) ** 2
        np.testing.assert_allclose(at(gradtx.cosine_decay_schedule(1.0, length), steps), want, rtol=1e-6)

    def test_numbers_that_are_traced_are_float32_but_the_step_is_not(self):
        """A traced boundary has 24 digits; what is subtracted from it is still the whole step."""
        begin = 2**27 + 16
        steps = [begin + k for k in range(-1, 7)]
        got = at_traced(gradtx.linear_schedule(1.0, 0.0, 4, begin), steps)
        np.testing.assert_array_equal(got, [1, 1, 0.75, 0.5, 0.25, 0, 0, 0])
        got = at_traced(gradtx.join_schedules([5.0, lambda step: 1.0 * step], [begin]), steps)
        np.testing.assert_array_equal(got, [5, 0, 1, 2, 3, 4, 5, 6])

    def test_every_schedule_at_the_last_step(self):
        schedules, wanted = zip(
            (gradtx.constant_schedule(0.5), 0.5),
            (gradtx.linear_schedule(1.0, 0.5, 7), 0.5),
            (gradtx.polynomial_schedule(1.0, 0.5, 0.5, 7), 0.5),
            (gradtx.exponential_decay(1.0, 2**30, 0.5), 0.25),
            (gradtx.inverse_time_schedule(1.0, 2**31 - 1, 1.0), 0.5),
            (gradtx.inverse_sqrt_schedule(0.0, 1.0, 2**29), 0.5),
            (gradtx.cosine_decay_schedule(1.0, 7, 0.5), 0.5),
            (gradtx.linear_onecycle_schedule(2**30, 1.0), 4e-6),
            (gradtx.cosine_onecycle_schedule(2**30, 1.0), 4e-6),
            (gradtx.warmup_constant_schedule(0.0, 0.5, LAST), 0.5),
            (gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 2**30, LAST, 0.5), 0.5),
            (gradtx.warmup_exponential_decay_schedule(0.0, 1.0, 2**30, 2**30, 0.5), 0.5),
            strict=True,
        )
        found = zip(schedules, wanted, at(schedules, [LAST]), at_traced(schedules, LAST), strict=True)
        for schedule, want, (got,), traced in found:
            assert got == pytest.approx(want, rel=1e-6), schedule
            assert traced == pytest.approx(want, rel=1e-6), schedule


class TestTypesOfSteps:
    TEN = (10, np.int64(10), np.int32(10), np.array(10), 10.0, np.float32(10))
    SCHEDULE = gradtx.warmup_schedule(gradtx.cosine_restarts_schedule(1.0, 6, m_mul=0.5), 3) * gradtx.exponential_decay(
        1.0, 4, 0.5, staircase=True
    )

    @pytest.mark.parametrize("ten", TEN, ids=lambda x: type(x).__name__)
    def test_numbers(self, ten):
        want = 0.5 * 0.5 * (1 + np.cos(np.pi * 1 / 12)) * 0.25
        assert float(self.SCHEDULE(ten)) == pytest.approx(want, rel=1e-6)

    @pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint32, jnp.int8, jnp.uint8, jnp.int16, jnp.float32])
    def test_arrays(self, dtype):
        want = self.SCHEDULE(10)
        for schedule in (self.SCHEDULE, jax.tree.map(jnp.float32, self.SCHEDULE)):
            assert float(schedule(jnp.asarray(10, dtype))) == pytest.approx(float(want), rel=1e-6)
            assert float(schedule(jnp.asarray(2, dtype))) == pytest.approx(2 / 3, rel=1e-6)

    @pytest.mark.parametrize("step", [-1, -0.5, np.int32(-1), jnp.int32(-1)], ids=lambda x: type(x).__name__)
    def test_before_step_0_is_as_at_step_0(self, step):
        """Other libraries ask there, of a schedule that they join behind another, and do not use the answer."""
        schedules = (
            self.SCHEDULE,
            gradtx.linear_schedule(1.0, 0.0, 5),
            gradtx.piecewise_constant_schedule(1.0, {5: 0.5}),
            gradtx.cosine_decay_schedule(1.0, 10),
            gradtx.join_schedules([1.0, 2.0], [5]),
        )
        jitted = jax.jit(lambda step: [jnp.asarray(schedule(step), float) for schedule in schedules])(step)
        for schedule, under_jit in zip(schedules, jitted, strict=True):
            assert float(schedule(step)) == float(schedule(0)) == float(under_jit)


def test_both_ends_are_met_to_the_bit():
    """Also where XLA divides by multiplying with a reciprocal: 49·(1/49) is not 1 in float32."""
    lengths = np.int32([1, 2, 3, 10, 41, 47, 49, 55, 61, 83, 97, 98])
    shapes = [
        (
            gradtx.linear_schedule(0.3, 0.1, length),
            gradtx.polynomial_schedule(0.3, 0.1, 2.0, length),
            gradtx.cosine_decay_schedule(0.3, length, 1 / 3),
            gradtx.piecewise_interpolate_schedule("cosine", 0.3, {length: 1 / 3}),
        )
        for length in lengths.tolist()
    ]
    at_each = jax.jit(lambda steps: [[s(t) for s in some] for some, t in zip(shapes, steps, strict=True)])
    ends = np.asarray(at_each(lengths))
    np.testing.assert_array_equal(at_each(np.zeros_like(lengths)), np.full(ends.shape, 0.3, np.float32))
    np.testing.assert_array_equal(ends[:, :2], np.full((12, 2), 0.1, np.float32))
    np.testing.assert_allclose(ends[:, 2:], np.full((12, 2), 0.1, np.float32), rtol=1e-7)


class TestRestarts:
    @pytest.mark.parametrize(
        ("first", "t_mul"), [(1, 1.0), (7, 1.0), (1, 2.0), (12345, 2.0), (12345, 3.0), (1, 4.0), (7, 7.0), (7, 10.0)]
    )
    def test_whole_restarts_are_at_their_step(self, first, t_mul):
        """Up to step 2**22; found by counting."""
        start, length, starts = 0, first, []
        while start < 2**22 and len(starts) < 32:
            starts.append(start)
            start, length = start + length, length * int(t_mul)
        starts, lengths = np.array(starts), np.diff([*starts, start])
        last = np.where(lengths == 1, 1.0, 0.5 * (1 + np.cos(np.pi * (1 - 1 / lengths))))
        steps = np.zeros((2, 32), int)
        steps[:, : len(starts)] = starts, starts + lengths - 1
        schedule = gradtx.cosine_restarts_schedule(1.0, first, t_mul)
        for values in (at(schedule, steps.ravel()), at_traced(schedule, steps.ravel())):
            got = values.reshape(2, 32)[:, : len(starts)]
            np.testing.assert_array_equal(got[0], np.ones(len(starts)))
            np.testing.assert_allclose(got[1], last, atol=1e-6)

    @hypothesis.given(
        first=st.floats(0.5, 1000.0, width=32),
        t_mul=st.one_of(st.just(1.0), st.floats(1.0, 1.125, width=32), st.floats(1.0, 4.0, width=32)),
        m_mul=st.floats(0.0, 1.0, width=32),
    )
    def test_any_numbers(self, first, t_mul, m_mul):
        """Away from the restarts themselves, which rounding may move by 1e-6 of the step."""
        n = 600
        want = np.array(loops.restarts(n, 1.0, first, t_mul, m_mul, 0.25))
        nudged = [np.array(loops.restarts(n, 1.0, first * (1 + d), t_mul, m_mul, 0.25)) for d in (-1e-5, 1e-5)]
        clear = np.all(np.abs(np.array(nudged) - want) < 1e-2, axis=0)
        got = at_traced(gradtx.cosine_restarts_schedule(1.0, first, t_mul, m_mul, 0.25), np.arange(n))
        np.testing.assert_allclose(got[clear], want[clear], atol=2e-3)

    def test_a_t_mul_of_one_that_is_swept(self):
        """At 1 the sum of the lengths is no geometric one: its limit, and the limit's derivative."""

        @jax.jit
        def value(t_mul, step):
            return gradtx.cosine_restarts_schedule(1.0, 10, t_mul)(step)

        t_muls = jnp.array([1.0, 1.0 + 1e-4, 2.0])
        got = jax.vmap(lambda t: value(t, jnp.int32(35)))(t_muls)
        want = [loops.restarts(36, 1.0, 10, t)[-1] for t in (1.0, 1.0 + 1e-4, 2.0)]
        np.testing.assert_allclose(got, want, rtol=1e-5)
        slope = jax.grad(value)(jnp.float32(1.0), jnp.int32(35))
        h = 1e-5
        by_hand = (loops.restarts(36, 1.0, 10, 1 + h)[-1] - loops.restarts(36, 1.0, 10, 1 - h)[-1]) / (2 * h)
        assert float(slope) == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize("kind", ["linear", "cosine", None])
def test_boundaries_in_any_order(kind):
    def made(parts):
        constant = gradtx.piecewise_constant_schedule
        return constant(1.0, parts) if kind is None else gradtx.piecewise_interpolate_schedule(kind, 1.0, parts)

    for step in (0, 3, 5, 7, 9, 12):
        assert float(made({9: 3.0, 5: 0.5})(step)) == float(made({5: 0.5, 9: 3.0})(step))
