"""`keras.optimizers.schedules` as schedules of gradtx: functions of the step, which is 0 in the first update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gradtx.compat.keras.around import in_keras_words
from gradtx.core.hyper import Number
from gradtx.core.schedule import Schedule, schedule
from gradtx.errors import finite, non_negative
from gradtx.schedules.curve import positive_finite
from gradtx.schedules.cycles import cosine_restarts_schedule
from gradtx.schedules.decay import (
    cosine_decay_schedule,
    exponential_decay,
    inverse_time_schedule,
    linear_schedule,
    polynomial_schedule,
)
from gradtx.schedules.piecewise import join_schedules

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]

_INSTEAD = {
    "LearningRateSchedule": "any function of the step is a schedule; @gradtx.schedule makes a value of it",
    "serialize": "use repr or gradtx.to_dict",
    "deserialize": "use gradtx.parse or gradtx.from_dict",
}


def __getattr__(name: str) -> object:
    if name in _INSTEAD:
        raise AttributeError(f"gradtx.compat.keras.schedules has no {name}: {_INSTEAD[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@in_keras_words
def ExponentialDecay(  # noqa: N802
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str = "ExponentialDecay",
) -> Schedule:
    """initial_learning_rate·decay_rate^(step/decay_steps), the power rounded down with staircase."""
    return exponential_decay(initial_learning_rate, decay_steps, decay_rate, staircase=staircase)


@in_keras_words
def InverseTimeDecay(  # noqa: N802
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str = "InverseTimeDecay",
) -> Schedule:
    """initial_learning_rate/(1 + decay_rate·step/decay_steps), the quotient rounded down with staircase."""
    return inverse_time_schedule(initial_learning_rate, decay_steps, decay_rate, staircase=staircase)


@in_keras_words
def PiecewiseConstantDecay(  # noqa: N802
    boundaries: Sequence[int], values: Sequence[Any], name: str = "PiecewiseConstant"
) -> Schedule:
    """values[i] up to boundaries[i], this step included: it changes one step later than schedules elsewhere.

    Raises: ValueError: boundaries do not increase, or there is not one value more.
    """
    return join_schedules(tuple(values), tuple(int(step) + 1 for step in boundaries))


@in_keras_words
def PolynomialDecay(  # noqa: N802
    initial_learning_rate: Any,
    decay_steps: Any,
    end_learning_rate: Any = 0.0001,
    power: Any = 1.0,
    cycle: bool = False,
    name: str = "PolynomialDecay",
) -> Schedule:
    """A power of the steps that are left until decay_steps; with cycle, until the next multiple of decay_steps."""
    decay = polynomial_cycles if cycle else polynomial_schedule
    return decay(initial_learning_rate, end_learning_rate, power, decay_steps)


@schedule
def polynomial_cycles(init_value: Number, end_value: Number, power: Number, transition_steps: Number):
    """A power of the fraction of steps that is left, with a longer time after each end.

        end_value + (init_value - end_value)·(1 - step/(k·transition_steps))^power,   k: the least with a fraction <= 1

    Args:
        init_value, end_value: finite.
        power: at least 0.
        transition_steps: greater than 0; steps.

    Source: `PolynomialDecay(cycle=True)` of Keras and TensorFlow.
    """
    finite(init_value=init_value, end_value=end_value, power=power)
    non_negative(power=power)
    positive_finite(transition_steps=transition_steps)

    def at(step):
        periods = jnp.asarray(step, float) / transition_steps
        left = 1.0 - periods / jnp.maximum(jnp.ceil(periods), 1.0)
        return end_value + (init_value - end_value) * left**power

    return at


@in_keras_words
def CosineDecay(  # noqa: N802
    initial_learning_rate: Any,
    decay_steps: Any,
    alpha: Any = 0.0,
    name: str = "CosineDecay",
    warmup_target: Any = None,
    warmup_steps: int = 0,
) -> Schedule:
    """Half a cosine in decay_steps; with warmup_target, after a line up to it in warmup_steps.

    Raises: ValueError: warmup_steps without warmup_target, which Keras does not notice.
    """
    if warmup_target is None:
        if warmup_steps:
            raise ValueError(f"CosineDecay: warmup_steps={warmup_steps} has no effect without warmup_target")
        return cosine_decay_schedule(initial_learning_rate, decay_steps, alpha)
    decay = cosine_decay_schedule(warmup_target, decay_steps, alpha)
    if not warmup_steps:
        return decay
    warmup = linear_schedule(initial_learning_rate, warmup_target, warmup_steps)
    return join_schedules((warmup, decay), (warmup_steps,))


@in_keras_words
def CosineDecayRestarts(  # noqa: N802
    initial_learning_rate: Any,
    first_decay_steps: Any,
    t_mul: Any = 2.0,
    m_mul: Any = 1.0,
    alpha: Any = 0.0,
    name: str = "SGDRDecay",
) -> Schedule:
    """Half cosines, each t_mul times as long and m_mul times as high as the one before."""
    return cosine_restarts_schedule(initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha)
