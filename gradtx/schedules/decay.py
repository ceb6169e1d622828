"""Schedules that change from one value to another; `step` counts the updates already done."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.schedule import schedule
from gradtx.errors import finite, non_negative, positive
from gradtx.schedules.curve import (
    Segment,
    between,
    cosine,
    curve,
    elapsed,
    fractions,
    linear,
    offset,
    periods,
    positive_finite,
    powered,
)


@schedule
def constant_schedule(value: Number):
    """The same value at every step.

    Args:
        value: finite.

    Example:
        >>> import gradtx
        >>> gradtx.constant_schedule(0.1)(5)
        0.1
    """
    finite(value=value)
    return lambda step: value


@schedule
def linear_schedule(init_value: Number, end_value: Number, transition_steps: Number, transition_begin: Number = 0):
    """A straight line from one value to another; constant before and after.

        init_value + (end_value - init_value)·min(max(step - transition_begin, 0)/transition_steps, 1)

    The first and the last value are exact. In all schedules here, steps up to 2³¹ - 1 are subtracted as integers,
    although float32 has no odd integers above 2²⁴. A traced argument, such as one in a sweep, is itself a float32.

    Args:
        init_value, end_value: finite.
        transition_steps: greater than 0; steps.
        transition_begin: at least 0; the step at which the line begins.

    Source: optax's `linear_schedule`, except that transition_steps=0 is an error here.

    Example:
        >>> import gradtx
        >>> [round(float(gradtx.linear_schedule(1.0, 0.0, transition_steps=4)(t)), 2) for t in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]
    """
    finite(init_value=init_value, end_value=end_value)
    positive_finite(transition_steps=transition_steps)
    non_negative(transition_begin=transition_begin)
    return curve(Segment(transition_begin, init_value, transition_steps, end_value))


@schedule
def polynomial_schedule(
    init_value: Number, end_value: Number, power: Number, transition_steps: Number, transition_begin: Number = 0
):
    """A power of the fraction of steps that is left, from one value to another; constant before and after.

        end_value + (init_value - end_value)·(1 - min(max(step - transition_begin, 0)/transition_steps, 1))^power

    Args:
        init_value, end_value: finite.
        power: greater than 0; 1 gives `linear_schedule`.
        transition_steps: greater than 0; steps.
        transition_begin: at least 0; the step at which the change begins.

    Source: optax's `polynomial_schedule`, except that transition_steps=0 is an error here; Keras' `PolynomialDecay`
        without `cycle`; torch's `PolynomialLR` with end_value=0.

    Example:
        >>> import gradtx
        >>> rate = gradtx.polynomial_schedule(1.0, 0.0, power=2, transition_steps=4)
        >>> [round(float(rate(t)), 4) for t in (0, 1, 4, 9)]
        [1.0, 0.5625, 0.0, 0.0]
    """
    finite(init_value=init_value, end_value=end_value, power=power)
    positive(power=power)
    positive_finite(transition_steps=transition_steps)
    non_negative(transition_begin=transition_begin)
    return curve(Segment(transition_begin, init_value, transition_steps, end_value, powered(linear, power)))


@schedule
def exponential_decay(
    init_value: Number,
    transition_steps: Number,
    decay_rate: Number,
    transition_begin: Number = 0,
    staircase: bool = False,
    end_value: Number | None = None,
):
    """Multiplies a value by the same factor every `transition_steps` steps.

        init_value·decay_rate^t
        t = max(step - transition_begin, 0)/transition_steps, rounded down with staircase

    Args:
        init_value: finite.
        transition_steps: greater than 0; steps.
        decay_rate: greater than 0; above 1 the value grows.
        transition_begin: at least 0; the step at which the change begins.
        staircase: whether the value changes only at whole multiples of transition_steps.
        end_value: finite; the smallest value if decay_rate < 1, the largest otherwise; None for no limit.

    Source: optax's `exponential_decay`; Keras' `ExponentialDecay`; torch's `ExponentialLR` with transition_steps=1, and
        its `StepLR` with staircase.

    Example:
        >>> import gradtx
        >>> float(gradtx.exponential_decay(1.0, transition_steps=10, decay_rate=0.25)(5))
        0.5
    """
    finite(init_value=init_value, decay_rate=decay_rate, end_value=end_value)
    positive(decay_rate=decay_rate)
    positive_finite(transition_steps=transition_steps)
    non_negative(transition_begin=transition_begin)

    def at(step):
        value = init_value * decay_rate ** _time(step, transition_begin, transition_steps, staircase)
        if end_value is None:
            return value
        return jnp.where(decay_rate < 1.0, jnp.maximum(value, end_value), jnp.minimum(value, end_value))

    return at


@schedule
def inverse_time_schedule(
    init_value: Number,
    transition_steps: Number,
    decay_rate: Number,
    transition_begin: Number = 0,
    staircase: bool = False,
):
    """A value in inverse proportion to the time.

        init_value/(1 + decay_rate·t)
        t = max(step - transition_begin, 0)/transition_steps, rounded down with staircase

    Args:
        init_value: finite.
        transition_steps: greater than 0; steps.
        decay_rate: at least 0; with 1, the value is halved after transition_steps.
        transition_begin: at least 0; the step at which the change begins.
        staircase: whether the value changes only at whole multiples of transition_steps.

    Source: Robbins & Monro 1951; Keras' `InverseTimeDecay` (its decay_steps is transition_steps). Not in optax.

    Example:
        >>> import gradtx
        >>> [float(gradtx.inverse_time_schedule(1.0, transition_steps=10, decay_rate=1.0)(t)) for t in (0, 10, 30)]
        [1.0, 0.5, 0.25]
    """
    finite(init_value=init_value)
    non_negative(decay_rate=decay_rate, transition_begin=transition_begin)
    positive_finite(transition_steps=transition_steps)
    return lambda step: init_value / (1.0 + decay_rate * _time(step, transition_begin, transition_steps, staircase))


@schedule
def inverse_sqrt_schedule(init_value: Number, peak_value: Number, warmup_steps: Number):
    """A straight line up to a peak, then a value in inverse proportion to the square root of the step.

        step < warmup_steps:   init_value + (peak_value - init_value)·step/warmup_steps
        after:                 peak_value·√(warmup_steps/step)

    Args:
        init_value: at step 0; finite.
        peak_value: at step warmup_steps; finite.
        warmup_steps: greater than 0; steps.

    Source: the same as fairseq's `inverse_sqrt`. Raffel et al. 2020 (T5, arXiv:1910.10683), section 3.1.2, use
        1/√max(step, k): init_value = peak_value = 1/√k, warmup_steps = k. Vaswani et al. 2017 (arXiv:1706.03762),
        equation 3, use d^-½·min(step^-½, step·w^-1.5): init_value = 0, peak_value = (d·w)^-½; their first step is 1.

    Example:
        >>> import gradtx
        >>> [float(gradtx.inverse_sqrt_schedule(0.0, 1.0, warmup_steps=100)(t)) for t in (0, 50, 100, 400)]
        [0.0, 0.5, 1.0, 0.5]
    """
    finite(init_value=init_value, peak_value=peak_value)
    positive_finite(warmup_steps=warmup_steps)

    def at(step):
        up = between(init_value, peak_value, fractions(step, 0.0, warmup_steps))
        down = peak_value * jnp.sqrt(warmup_steps / (warmup_steps + elapsed(step, warmup_steps)))
        return jnp.where(offset(step, warmup_steps) < 0, up, down)

    return at


@schedule
def cosine_decay_schedule(init_value: Number, decay_steps: Number, alpha: Number = 0.0, exponent: Number = 1.0):
    """Half a cosine from one value down to a fraction of it; constant after.

        init_value·((1 - alpha)·((1 + cos(π·min(step/decay_steps, 1)))/2)^exponent + alpha)

    Args:
        init_value: finite.
        decay_steps: greater than 0; steps.
        alpha: the last value as a fraction of init_value; finite.
        exponent: greater than 0.

    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5, without restarts (see `cosine_restarts_schedule`).
        optax's `cosine_decay_schedule`; Keras' `CosineDecay` without warm-up; the falling half of torch's
        `CosineAnnealingLR`, which rises again afterwards.

    Example:
        >>> import gradtx
        >>> [round(float(gradtx.cosine_decay_schedule(1.0, 10)(t)), 2) for t in (0, 5, 10, 20)]
        [1.0, 0.5, 0.0, 0.0]
    """
    finite(init_value=init_value, alpha=alpha, exponent=exponent)
    positive(exponent=exponent)
    positive_finite(decay_steps=decay_steps)
    return curve(Segment(0.0, init_value, decay_steps, alpha * init_value, powered(cosine, exponent)))


def _time(step, begin, length, whole: bool):
    return periods(step, begin, length)[0] if whole else elapsed(step, begin) / length
