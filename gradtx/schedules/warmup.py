"""Schedules that begin with a warm-up: a straight line up to the value at which another schedule continues."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.schedule import Term, at, schedule
from gradtx.errors import finite, non_negative, one_of, positive
from gradtx.schedules.curve import (
    SHAPES,
    Segment,
    between,
    cosine,
    curve,
    elapsed,
    fractions,
    offset,
    positive_finite,
    powered,
)
from gradtx.schedules.decay import constant_schedule, exponential_decay


@schedule
def warmup_schedule(schedule: Term, warmup_steps: Number, init_value: Number = 0.0):
    """A straight line up to the first value of a schedule, then that schedule.

        step < warmup_steps:   init_value + (schedule(0) - init_value)·step/warmup_steps
        after:                 schedule(step - warmup_steps)

    Args:
        schedule: a schedule, a function of the step, a finite number.
        warmup_steps: at least 0; steps.
        init_value: at step 0; finite.

    Source: Goyal et al. 2017 (arXiv:1706.02677), section 2.2. To warm up without delaying the schedule, multiply:
        `linear_schedule(0.0, 1.0, warmup_steps) * schedule`.

    Example:
        >>> import gradtx
        >>> rate = gradtx.warmup_schedule(gradtx.inverse_time_schedule(1.0, 10, 1.0), warmup_steps=4)
        >>> [float(rate(t)) for t in (0, 2, 4, 14)]
        [0.0, 0.5, 1.0, 0.5]
    """
    finite(init_value=init_value, schedule=schedule)
    non_negative(warmup_steps=warmup_steps)

    def value(step):
        up = between(init_value, at(schedule, 0 * step), fractions(step, 0.0, warmup_steps))
        return jnp.where(offset(step, warmup_steps) < 0, up, at(schedule, elapsed(step, warmup_steps)))

    return value


@schedule
def warmup_constant_schedule(init_value: Number, peak_value: Number, warmup_steps: Number):
    """A straight line up to a peak; constant after.

    Args:
        init_value: at step 0; finite.
        peak_value: from step warmup_steps on; finite.
        warmup_steps: at least 0; steps.

    Source: optax's `warmup_constant_schedule`.

    Example:
        >>> import gradtx
        >>> [float(gradtx.warmup_constant_schedule(0.0, 1.0, warmup_steps=4)(t)) for t in (0, 1, 4, 9)]
        [0.0, 0.25, 1.0, 1.0]
    """
    finite(peak_value=peak_value)
    return warmup_schedule(constant_schedule(peak_value), warmup_steps, init_value)


@schedule
def warmup_cosine_decay_schedule(
    init_value: Number,
    peak_value: Number,
    warmup_steps: Number,
    decay_steps: Number,
    end_value: Number = 0.0,
    exponent: Number = 1.0,
):
    """A straight line up to a peak, then half a cosine down; constant after.

        step < warmup_steps:   init_value + (peak_value - init_value)·step/warmup_steps
        after:                 end_value + (peak_value - end_value)·((1 + cos(π·done))/2)^exponent,
                               done = min((step - warmup_steps)/(decay_steps - warmup_steps), 1)

    Args:
        init_value: at step 0; finite.
        peak_value: at step warmup_steps; finite.
        warmup_steps: at least 0; steps.
        decay_steps: the whole length, including the warm-up; greater than warmup_steps.
        end_value: at the end; finite.
        exponent: greater than 0.

    Raises: ValueError: decay_steps is not greater than warmup_steps.
    Source: optax's `warmup_cosine_decay_schedule`, which stays at 0 after a peak of 0, whatever the end_value.

    Example:
        >>> import gradtx
        >>> rate = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=30)
        >>> [round(float(rate(t)), 2) for t in (0, 5, 10, 20, 30)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    finite(init_value=init_value, peak_value=peak_value, end_value=end_value, exponent=exponent)
    non_negative(warmup_steps=warmup_steps)
    positive(exponent=exponent)
    length = decay_steps - warmup_steps
    positive_finite(**{"decay_steps - warmup_steps": length})
    return curve(
        Segment(0.0, init_value, warmup_steps, peak_value),
        Segment(warmup_steps, peak_value, length, end_value, powered(cosine, exponent)),
    )


@schedule
def warmup_exponential_decay_schedule(
    init_value: Number,
    peak_value: Number,
    warmup_steps: Number,
    transition_steps: Number,
    decay_rate: Number,
    transition_begin: Number = 0,
    staircase: bool = False,
    end_value: Number | None = None,
):
    """A straight line up to a peak, then `exponential_decay`.

    Args:
        init_value: at step 0; finite.
        peak_value: at step warmup_steps; finite.
        warmup_steps: at least 0; steps.
        transition_steps, decay_rate, staircase, end_value: as in `exponential_decay`.
        transition_begin: at least 0; the number of steps from the end of the warm-up to the beginning of the decay.

    Source: optax's `warmup_exponential_decay_schedule`.

    Example:
        >>> import gradtx
        >>> rate = gradtx.warmup_exponential_decay_schedule(0.0, 1.0, 4, transition_steps=10, decay_rate=0.5)
        >>> [float(rate(t)) for t in (0, 2, 4, 14, 24)]
        [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    finite(peak_value=peak_value)
    decay = exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
    return warmup_schedule(decay, warmup_steps, init_value)


@schedule
def warmup_stable_decay_schedule(
    init_value: Number,
    peak_value: Number,
    warmup_steps: Number,
    stable_steps: Number,
    decay_steps: Number,
    end_value: Number = 0.0,
    decay_shape: str = "linear",
):
    """A straight line up to a peak, a long constant part, then a short decay (WSD).

        done = (step - warmup_steps - stable_steps)/decay_steps, the fraction of the decay that is done
        end_value + (peak_value - end_value)·w,   w = 1 - done, or (1 + cos(π·done))/2, or 1 - √done

    Args:
        init_value: at step 0; finite.
        peak_value: from step warmup_steps on; finite.
        warmup_steps, stable_steps: the length of each part; at least 0; steps.
        decay_steps: greater than 0; steps.
        end_value: at the end and after; finite.
        decay_shape: `"linear"`, `"cosine"` or `"sqrt"`.

    Source: Hu et al. 2024 (MiniCPM, arXiv:2404.06395), section 4. Their decay is exponential, for which use
        `join_schedules`. The shapes are those of Hägele et al. 2024 (arXiv:2405.18392), who found 1 - √done the best.
        Not in optax.

    Example:
        >>> import gradtx
        >>> rate = gradtx.warmup_stable_decay_schedule(0.0, 1.0, warmup_steps=10, stable_steps=80, decay_steps=20)
        >>> [round(float(rate(t)), 2) for t in (0, 5, 10, 90, 100, 110)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    one_of(tuple(SHAPES), decay_shape=decay_shape)
    finite(init_value=init_value, peak_value=peak_value, end_value=end_value)
    non_negative(warmup_steps=warmup_steps, stable_steps=stable_steps)
    positive_finite(decay_steps=decay_steps)
    return curve(
        Segment(0.0, init_value, warmup_steps, peak_value),
        Segment(warmup_steps + stable_steps, peak_value, decay_steps, end_value, SHAPES[decay_shape]),
    )
