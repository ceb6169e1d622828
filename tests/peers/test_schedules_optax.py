"""Schedules of optax: the same values where the formula is the same, and the stated differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")

N = 120
STEPS = jnp.arange(N)
SCALES = {7: 0.5, 30: 3.0, 31: 0.1, 90: 0.0}


def values(schedule):
    """Ours and optax's alike: a function of the step."""
    return np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step), float)))(STEPS))


def both(name, *args, **kwargs):
    return getattr(gradtx, name)(*args, **kwargs), getattr(optax, name)(*args, **kwargs)


CYCLES = [
    {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 5, "decay_steps": 20, "end_value": 0.1},
    {"init_value": 0.1, "peak_value": 0.5, "warmup_steps": 10, "decay_steps": 60, "end_value": 0.0},
]
OPTAX = {
    "constant": both("constant_schedule", 0.3),
    "linear": both("linear_schedule", 1.0, 0.1, 49, 11),
    "polynomial": both("polynomial_schedule", 1.0, 0.1, 2.5, 49, 11),
    "polynomial root": both("polynomial_schedule", 0.1, 1.0, 0.5, 64),
    "exponential": both("exponential_decay", 1.0, 10, 0.5, 7),
    "exponential staircase": both("exponential_decay", 1.0, 10, 0.5, 7, True, 0.05),
    "exponential up": both("exponential_decay", 0.1, 10, 1.5, end_value=2.0),
    "cosine": both("cosine_decay_schedule", 1.0, 98, 0.1),
    "cosine exponent": both("cosine_decay_schedule", 1.0, 98, 0.1, 1.7),
    "piecewise constant": both("piecewise_constant_schedule", 1.0, SCALES),
    "piecewise constant none": both("piecewise_constant_schedule", 1.0),
    "piecewise linear": both("piecewise_interpolate_schedule", "linear", 1.0, SCALES),
    "piecewise cosine": both("piecewise_interpolate_schedule", "cosine", 1.0, SCALES),
    "linear onecycle": both("linear_onecycle_schedule", 100, 1.0),
    "linear onecycle all": both("linear_onecycle_schedule", 80, 1.0, 0.25, 0.75, 10.0, 50.0),
    "cosine onecycle": both("cosine_onecycle_schedule", 100, 1.0, 0.3, 10.0, 50.0),
    "warmup constant": both("warmup_constant_schedule", 0.1, 1.0, 49),
    "warmup cosine": both("warmup_cosine_decay_schedule", 0.1, 1.0, 20, 98, 0.2),
    "warmup cosine exponent": both("warmup_cosine_decay_schedule", 0.1, 1.0, 20, 98, 0.2, 2.0),
    "warmup exponential": both("warmup_exponential_decay_schedule", 0.0, 1.0, 15, 10, 0.5, 3, True, 0.1),
    "join": (
        gradtx.join_schedules([gradtx.linear_schedule(1.0, 0.0, 20), 0.7, lambda t: 0.9**t], [15, 60]),
        optax.join_schedules(
            [optax.linear_schedule(1.0, 0.0, 20), optax.constant_schedule(0.7), lambda t: 0.9**t], [15, 60]
        ),
    ),
    "sgdr": (
        gradtx.join_schedules([gradtx.warmup_cosine_decay_schedule(**c) for c in CYCLES], [20]),
        optax.sgdr_schedule(CYCLES),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), OPTAX.values(), ids=OPTAX.keys())
def test_optax(ours, theirs):
    np.testing.assert_allclose(values(ours), values(theirs), rtol=3e-5, atol=1e-6)


def test_every_schedule_of_optax_is_here():
    public = [name for name in dir(optax.schedules) if not name.startswith("_")]
    theirs = {name for name in public if name.endswith(("_schedule", "_schedules", "_decay"))}
    mine = {pair[0].name for pair in OPTAX.values()}
    assert theirs - mine == {"sgdr_schedule"}  # a join, above


class TestOptaxDiffers:
    def test_its_onecycles_are_at_whole_steps_only(self):
        ours, theirs = (
            values(gradtx.cosine_onecycle_schedule(100, 1.0, 0.29)),
            values(optax.cosine_onecycle_schedule(100, 1.0, 0.29)),
        )
        assert ours.argmax() == 29
        assert theirs.argmax() == 28  # int(0.29 * 100)

    def test_its_schedules_of_no_length_are_constant(self):
        assert float(optax.polynomial_schedule(1.0, 0.0, 2, 0)(50)) == 1.0
        assert float(optax.exponential_decay(1.0, 0, 0.5)(50)) == 1.0
        for factory in (
            lambda: gradtx.polynomial_schedule(1.0, 0.0, 2, 0),
            lambda: gradtx.exponential_decay(1.0, 0, 0.5),
        ):
            with pytest.raises(ValueError, match="transition_steps must be greater than 0"):
                factory()

    def test_its_ends_may_be_missed(self):
        """XLA multiplies with 1/49, and 49·(1/49) is not 1; the root makes it 1e-4 of the way."""
        ours, theirs = both("polynomial_schedule", 0.1, 1.0, 0.5, 49)
        assert values(ours)[-1] == 1.0
        assert 5e-5 < 1.0 - values(theirs)[-1] < 5e-4

    def test_its_steps_are_float32(self):
        late = 2**24 + 1
        ours, theirs = both("linear_schedule", 1.0, 0.0, 2, late)
        assert [float(jax.jit(ours)(jnp.int32(late + k))) for k in range(3)] == [1.0, 0.5, 0.0]
        ours, theirs = both("cosine_decay_schedule", 1.0, late)
        ours, theirs = (float(jax.jit(f)(jnp.int32(late - 1000))) for f in (ours, theirs))
        want = float(np.sin(0.5 * np.pi * 1000 / late) ** 2)
        assert ours == pytest.approx(want, rel=1e-6)
        assert abs(theirs / want - 1) > 0.1
