"""Every schedule against its loop in float64: its values, swept, traced, in double precision; and its derivatives."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference_schedules as loops
from tests.double import enable_x64

N = 150
FACTORS = np.array([1.0, 1.03, 1.07])


def half_each(step):
    return 0.5**step


CASES = {
    "constant": (gradtx.constant_schedule(0.3), loops.constant(N, 0.3)),
    "linear": (gradtx.linear_schedule(1.0, 0.2, 49), loops.linear(N, 1.0, 0.2, 49)),
    "linear later": (gradtx.linear_schedule(0.1, 0.7, 60.5, 7), loops.linear(N, 0.1, 0.7, 60.5, 7)),
    "polynomial": (gradtx.polynomial_schedule(1.0, 0.1, 2.5, 80), loops.polynomial(N, 1.0, 0.1, 2.5, 80)),
    "polynomial root": (gradtx.polynomial_schedule(0.2, 1.0, 0.5, 70, 9), loops.polynomial(N, 0.2, 1.0, 0.5, 70, 9)),
    "exponential": (gradtx.exponential_decay(1.0, 20, 0.5), loops.exponential(N, 1.0, 20, 0.5)),
    "exponential end": (
        gradtx.exponential_decay(1.0, 20, 0.5, 11, True, 0.1),
        loops.exponential(N, 1.0, 20, 0.5, 11, True, 0.1),
    ),
    "exponential up": (
        gradtx.exponential_decay(0.1, 30, 1.5, 3, end_value=0.4),
        loops.exponential(N, 0.1, 30, 1.5, 3, end=0.4),
    ),
    "staircase": (gradtx.exponential_decay(1.0, 7, 0.8, staircase=True), loops.staircase(N, 1.0, 7, 0.8)),
    "staircase of halves": (  # 49·(1/24.5) rounds to below 2, where a constant is divided by
        gradtx.exponential_decay(1.0, 24.5, 0.5, staircase=True),
        loops.exponential(N, 1.0, 24.5, 0.5, staircase=True),
    ),
    "cyclic of halves": (
        gradtx.cyclic_schedule(0.0, 1.0, 12.25, m_mul=0.5),
        loops.cyclic(N, 0.0, 1.0, 12.25, 12.25, 0.5),
    ),
    "inverse time": (gradtx.inverse_time_schedule(1.0, 10, 0.5, 4), loops.inverse_time(N, 1.0, 10, 0.5, 4)),
    "inverse time staircase": (
        gradtx.inverse_time_schedule(1.0, 10, 0.5, staircase=True),
        loops.inverse_time(N, 1.0, 10, 0.5, staircase=True),
    ),
    "inverse sqrt": (gradtx.inverse_sqrt_schedule(0.1, 1.0, 20), loops.inverse_sqrt(N, 0.1, 1.0, 20)),
    "inverse sqrt noam": (gradtx.inverse_sqrt_schedule(0.0, (64 * 30) ** -0.5, 30), loops.noam(N, 64, 30)),
    "inverse sqrt t5": (gradtx.inverse_sqrt_schedule(40**-0.5, 40**-0.5, 40), loops.t5(N, 40)),
    "half-life": (gradtx.half_life_schedule(0.3, 0.9, 90, 5), loops.half_life(N, 0.3, 0.9, 90, 5)),
    "half-life down": (gradtx.half_life_schedule(0.9, 0.01, 60.5), loops.half_life(N, 0.9, 0.01, 60.5)),
    "cosine": (gradtx.cosine_decay_schedule(1.0, 98), loops.cosine(N, 1.0, 98)),
    "cosine exponent": (gradtx.cosine_decay_schedule(0.8, 100, 0.1, 1.7), loops.cosine(N, 0.8, 100, 0.1, 1.7)),
    "cosine small exponent": (gradtx.cosine_decay_schedule(1.0, 90, 0.2, 0.4), loops.cosine(N, 1.0, 90, 0.2, 0.4)),
    "restarts": (gradtx.cosine_restarts_schedule(1.0, 10), loops.restarts(N, 1.0, 10)),
    "restarts same": (gradtx.cosine_restarts_schedule(1.0, 13, 1.0, 0.8), loops.restarts(N, 1.0, 13, 1.0, 0.8)),
    "restarts fraction": (
        gradtx.cosine_restarts_schedule(0.5, 8.5, 1.5, 0.5, 0.1),
        loops.restarts(N, 0.5, 8.5, 1.5, 0.5, 0.1),
    ),
    "restarts near": (
        gradtx.cosine_restarts_schedule(1.0, 9.7, 1.03, 0.9),
        loops.restarts(N, 1.0, 9.7, 1.03, 0.9),
    ),
    "linear onecycle": (gradtx.linear_onecycle_schedule(100, 1.0), loops.linear_onecycle(N, 100, 1.0)),
    "linear onecycle between": (
        gradtx.linear_onecycle_schedule(97, 1.0, 0.31, 0.77, 10.0, 50.0),
        loops.linear_onecycle(N, 97, 1.0, 0.31, 0.77, 10.0, 50.0),
    ),
    "cosine onecycle": (gradtx.cosine_onecycle_schedule(100, 1.0, 0.29), loops.cosine_onecycle(N, 100, 1.0, 0.29)),
    "cyclic": (gradtx.cyclic_schedule(0.1, 1.0, 7), loops.cyclic(N, 0.1, 1.0, 7, 7)),
    "cyclic skewed": (
        gradtx.cyclic_schedule(0.1, 1.0, 5, 12, 0.7, 0.99),
        loops.cyclic(N, 0.1, 1.0, 5, 12, 0.7, 0.99),
    ),
    "piecewise constant": (
        gradtx.piecewise_constant_schedule(1.0, {0: 0.9, 30: 0.5, 31: 0.0, 90: 2.0}),
        loops.piecewise_constant(N, 1.0, {0: 0.9, 30: 0.5, 31: 0.0, 90: 2.0}),
    ),
    "piecewise none": (gradtx.piecewise_constant_schedule(0.7), loops.constant(N, 0.7)),
    "interpolate linear": (
        gradtx.piecewise_interpolate_schedule("linear", 0.5, {20: 2.0, 49: 0.3, 100: 0.5}),
        loops.through(N, loops.scaled(0.5, {20: 2.0, 49: 0.3, 100: 0.5})),
    ),
    "interpolate cosine": (
        gradtx.piecewise_interpolate_schedule("cosine", 0.5, {1: 2.0, 50: 0.0}),
        loops.through(N, loops.scaled(0.5, {1: 2.0, 50: 0.0}), "cosine"),
    ),
    "interpolate none": (gradtx.piecewise_interpolate_schedule("cosine", 0.7), loops.constant(N, 0.7)),
    "join": (
        gradtx.join_schedules([gradtx.linear_schedule(0.0, 1.0, 10), 0.5, half_each], [10, 40]),
        loops.joined(N, [loops.linear(N, 0.0, 1.0, 10), loops.constant(N, 0.5), [0.5**t for t in range(N)]], [10, 40]),
    ),
    "warmup": (
        gradtx.warmup_schedule(gradtx.polynomial_schedule(1.0, 0.1, 2, 60, 3), 20, 0.05),
        loops.warmed_up(N, loops.polynomial(N, 1.0, 0.1, 2, 60, 3), 20, 0.05),
    ),
    "warmup none": (
        gradtx.warmup_schedule(gradtx.exponential_decay(1.0, 9, 0.5), 0),
        loops.exponential(N, 1.0, 9, 0.5),
    ),
    "warmup constant": (
        gradtx.warmup_constant_schedule(0.1, 0.9, 49),
        loops.warmed_up(N, loops.constant(N, 0.9), 49, 0.1),
    ),
    "warmup cosine": (
        gradtx.warmup_cosine_decay_schedule(0.1, 1.0, 20, 118, 0.2, 1.5),
        loops.warmed_up(N, loops.cosine(N, 1.0, 98, 0.2, 1.5), 20, 0.1),
    ),
    "warmup exponential": (
        gradtx.warmup_exponential_decay_schedule(0.0, 1.0, 15, 10, 0.7, 5, True, 0.05),
        loops.warmed_up(N, loops.exponential(N, 1.0, 10, 0.7, 5, True, 0.05), 15),
    ),
    **{
        f"warmup stable {shape}": (
            gradtx.warmup_stable_decay_schedule(0.1, 1.0, 10, 60, 49, 0.05, shape),
            loops.stable_then_decay(N, 0.1, 1.0, 10, 60, 49, 0.05, shape),
        )
        for shape in ("linear", "cosine", "sqrt")
    },
    "stable at once": (
        gradtx.warmup_stable_decay_schedule(0.0, 1.0, 0, 60, 30),
        loops.stable_then_decay(N, 0.0, 1.0, 0, 60, 30),
    ),
    "decay at once": (
        gradtx.warmup_stable_decay_schedule(0.0, 1.0, 10, 0, 30, 0.5),
        loops.stable_then_decay(N, 0.0, 1.0, 10, 0, 30, 0.5),
    ),
}


def values(schedule):
    """At steps 0 to N - 1, under a trace."""
    return jax.vmap(lambda step: jnp.asarray(schedule(step), float))(jnp.arange(N))


def leaves(schedule):
    return jnp.array(jax.tree.leaves(schedule), float)


def with_leaves(schedule, xs):
    return jax.tree.unflatten(jax.tree.structure(schedule), list(xs))


def of_all(function, *numbers):
    """A function of each case's schedule, and of its entry in each dict, by name; the schedules are constants."""
    return {name: function(s, *(xs[name] for xs in numbers)) for name, (s, _) in CASES.items()}


# One program for all of them: they are small, and to compile each alone would take most of the time.
ALL_TRACED = jax.jit(lambda numbers: of_all(lambda s, xs: values(with_leaves(s, xs)), numbers))


@functools.cache
def together():
    """All steps in one array."""
    return jax.jit(lambda: of_all(lambda s: jnp.broadcast_to(jnp.asarray(s(jnp.arange(N)), float), (N,))))()


@functools.cache
def double():
    with enable_x64(True):
        return jax.jit(lambda: of_all(values))()


@functools.cache
def swept():
    """By name, a row for each factor: with `vmap`, and one after another."""
    numbers = of_all(leaves)
    many = jax.tree.map(lambda xs: jnp.outer(FACTORS, xs), numbers)
    rows = jax.jit(lambda many: of_all(lambda s, xs: jax.vmap(lambda x: values(with_leaves(s, x)))(xs), many))(many)
    alone = [ALL_TRACED(jax.tree.map(lambda xs, k=k: xs[k], many)) for k in range(len(FACTORS))]
    return rows, {name: np.stack([one[name] for one in alone]) for name in rows}


@functools.cache
def differences():
    """Of each case: the slopes of its values in every number, by differences in double precision; and where smooth."""
    with enable_x64(True):
        numbers = of_all(leaves)
        middle = ALL_TRACED(numbers)
        most = max(map(len, numbers.values()))
        nudged = [
            ALL_TRACED({name: xs + by * np.eye(most)[k, : len(xs)] for name, xs in numbers.items()})
            for by in (1e-6, -1e-6)
            for k in range(most)
        ]
        out = {}
        for name, xs in numbers.items():
            up, down = (np.stack([t[name] - middle[name] for t in nudged[at : at + len(xs)]]) for at in (0, most))
            up, down = up / 1e-6, -down / 1e-6
            out[name] = up, np.all(np.abs(up - down) <= 1e-3 * (1 + np.abs(up)), axis=0)
        return out


@jax.jit  # traced once for all schedules of one factory
def derivatives(schedule, weights):
    """Of the sum of the values at all steps, and of a weighted one: schedules with a derivative for each number."""
    at_each = jax.vmap(jax.grad(lambda s, step: jnp.asarray(s(step), float)), (None, 0))(schedule, jnp.arange(N))
    return [jax.tree.map(jnp.sum, at_each), jax.tree.map(lambda x: x @ weights, at_each)]


def values_where_every_number_is_traced(name):
    got = ALL_TRACED(of_all(leaves))[name]
    np.testing.assert_allclose(got, CASES[name][1], rtol=3e-6, atol=3e-6)  # 1.03 is rounded too


def values_of_python_steps(name):
    schedule, want = CASES[name]
    for step in (0, 49):
        assert float(schedule(step)) == pytest.approx(want[step], rel=3e-6, abs=1e-6)


def values_of_many_steps_at_once(name):
    np.testing.assert_allclose(together()[name], CASES[name][1], rtol=3e-6, atol=1e-6)


def values_in_double_precision(name):
    got = double()[name]
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, CASES[name][1], rtol=1e-12, atol=1e-13)


def printing_and_pickling(name):
    schedule = CASES[name][0]
    if "half_each" not in repr(schedule):
        assert eval(repr(schedule), vars(gradtx)) == schedule
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)


def every_number_is_swept(name):
    """One by one, the same up to rounding; the rounded position in a cycle counts as much as the cycle is high."""
    rows, alone = (tables[name] for tables in swept())
    np.testing.assert_allclose(rows[0], CASES[name][1], rtol=3e-6, atol=3e-6)
    for row, one in zip(rows, alone, strict=True):
        np.testing.assert_allclose(row, one, rtol=1e-5, atol=3e-6 * max(1.0, np.abs(one).max()))
    assert not np.allclose(rows[0], rows[1])


def derivatives_with_respect_to_every_number(name):
    """Finite at every step; and where the value is smooth, what differences of the values say."""
    by_hand, smooth = differences()[name]
    assert smooth.mean() > 0.8
    weights = np.random.default_rng(0).normal(size=N) * smooth
    numbers = with_leaves(CASES[name][0], leaves(CASES[name][0]))
    everywhere, got = map(jax.tree.leaves, derivatives(numbers, jnp.float32(weights)))
    assert np.isfinite(everywhere).all()
    np.testing.assert_allclose(got, by_hand @ weights, rtol=3e-3, atol=3e-3)


CHECKS = (
    values_where_every_number_is_traced,
    values_of_python_steps,
    values_of_many_steps_at_once,
    values_in_double_precision,
    printing_and_pickling,
    every_number_is_swept,
    derivatives_with_respect_to_every_number,
)


@pytest.mark.parametrize("name", CASES)
def test_against_the_loop(name):
    """All checks; the message has those that failed."""
    failed = []
    for check in CHECKS:
        try:
            check(name)
        except AssertionError as error:
            failed.append(f"{check.__name__}: {error}")
    assert not failed, "\n".join(failed)


def test_the_bounds_above_can_fail():
    schedule, want = CASES["cosine"]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            jax.jit(lambda: values(schedule.replace(decay_steps=98.001)))(), want, rtol=3e-6, atol=1e-6
        )
