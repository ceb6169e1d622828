"""Schedules that rise and fall: with restarts, in one cycle, or in many."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.schedule import schedule
from gradtx.errors import at_least_one, concrete, finite, in_unit_interval, non_negative, positive
from gradtx.schedules.curve import Segment, between, cosine, curve, offset, periods, positive_finite


@schedule
def cosine_restarts_schedule(
    init_value: Number,
    first_decay_steps: Number,
    t_mul: Number = 2.0,
    m_mul: Number = 1.0,
    alpha: Number = 0.0,
):
    """Half a cosine from one value down to a fraction of it, repeated in cycles that may grow longer.

        T_i = first_decay_steps·t_mul^i,   cycle i begins at T_0 + ... + T_(i-1),   done = (step - begin of i)/T_i
        init_value·((1 - alpha)·m_mul^i·(1 + cos(π·done))/2 + alpha)

    Cycles begin at the exact step if t_mul is 1 and first_decay_steps has no fraction, both as Python numbers.
    Otherwise the computation is in float32: exact for integers up to step 2²², beyond that and for other numbers with a
    relative error of 1e-6.

    Args:
        init_value: at step 0; finite.
        first_decay_steps: T_0, greater than 0; steps.
        t_mul: at least 1; the length of each cycle divided by that of the cycle before.
        m_mul: at least 0; the height of each cycle divided by that of the cycle before.
        alpha: the lowest value as a fraction of init_value; finite.

    Source: Loshchilov & Hutter 2017 (SGDR, arXiv:1608.03983), equation 5. Keras' `CosineDecayRestarts`; torch's
        `CosineAnnealingWarmRestarts` with alpha = eta_min/init_value. optax's `sgdr_schedule` takes a list of cycles;
        here that is a `join_schedules` of `warmup_cosine_decay_schedule`s.

    Example:
        >>> import gradtx
        >>> rate = gradtx.cosine_restarts_schedule(1.0, first_decay_steps=10, m_mul=0.5)
        >>> [round(float(rate(t)), 2) for t in (0, 5, 10, 20, 30, 50, 70)]
        [1.0, 0.5, 0.5, 0.25, 0.25, 0.12, 0.12]
    """
    finite(init_value=init_value, alpha=alpha)
    positive_finite(first_decay_steps=first_decay_steps)
    at_least_one(t_mul=t_mul)
    non_negative(m_mul=m_mul)

    def at(step):
        if concrete(t_mul) == 1.0:
            (index, passed), length = periods(step, 0.0, first_decay_steps), first_decay_steps
        else:
            index, passed, length = _restart(step, first_decay_steps, t_mul)
        weight = m_mul ** jnp.asarray(index, float) * cosine((length - passed) / length, passed / length)[0]
        return init_value * between(1.0, alpha, (weight, 1.0 - weight))

    return at


@schedule
def linear_onecycle_schedule(
    transition_steps: Number,
    peak_value: Number,
    pct_start: Number = 0.3,
    pct_final: Number = 0.85,
    div_factor: Number = 25.0,
    final_div_factor: Number = 1e4,
):
    """Straight lines up to a peak, back to the first value, and down to the last; constant after.

        step 0                              peak_value/div_factor
        step pct_start·transition_steps     peak_value
        step pct_final·transition_steps     peak_value/div_factor
        step transition_steps               peak_value/(div_factor·final_div_factor)

    Args:
        transition_steps: the whole length; greater than 0; steps.
        peak_value: finite.
        pct_start: the position of the peak, as a fraction of the steps; in [0, 1].
        pct_final: the fraction of the steps at which the last line begins; in [0, 1], greater than pct_start.
        div_factor, final_div_factor: greater than 0.

    Raises: ValueError: pct_final is not greater than pct_start.
    Source: Smith & Topin 2018 (arXiv:1708.07120), section 3. optax's `linear_onecycle_schedule` rounds the two inner
        steps down to integers. torch's `OneCycleLR` with three phases counts from 1, so its lines end one step earlier.

    Example:
        >>> import gradtx
        >>> rate = gradtx.linear_onecycle_schedule(20, 1.0)
        >>> [round(float(rate(t)), 3) for t in (0, 3, 6, 17, 20)]
        [0.04, 0.52, 1.0, 0.04, 0.0]
    """
    _check_onecycle(transition_steps, peak_value, pct_start, div_factor, final_div_factor)
    in_unit_interval(pct_final=pct_final)
    positive_finite(**{"pct_final - pct_start": pct_final - pct_start})
    low, first, last = peak_value / div_factor, pct_start * transition_steps, pct_final * transition_steps
    return curve(
        Segment(0.0, low, first, peak_value),
        Segment(first, peak_value, last - first, low),
        Segment(last, low, transition_steps - last, low / final_div_factor),
    )


@schedule
def cosine_onecycle_schedule(
    transition_steps: Number,
    peak_value: Number,
    pct_start: Number = 0.3,
    div_factor: Number = 25.0,
    final_div_factor: Number = 1e4,
):
    """Half a cosine up to a peak, then half a cosine down; constant after.

        step 0                              peak_value/div_factor
        step pct_start·transition_steps     peak_value
        step transition_steps               peak_value/(div_factor·final_div_factor)

    Args:
        transition_steps: the whole length; greater than 0; steps.
        peak_value: finite.
        pct_start: the position of the peak, as a fraction of the steps; in [0, 1].
        div_factor, final_div_factor: greater than 0.

    Source: Smith & Topin 2018 (arXiv:1708.07120), with the cosines of fastai. optax's `cosine_onecycle_schedule` rounds
        the step of the peak down to an integer. torch's `OneCycleLR` counts from 1, so its halves end one step earlier.

    Example:
        >>> import gradtx
        >>> rate = gradtx.cosine_onecycle_schedule(20, 1.0)
        >>> [round(float(rate(t)), 3) for t in (0, 3, 6, 13, 20)]
        [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    _check_onecycle(transition_steps, peak_value, pct_start, div_factor, final_div_factor)
    low, first = peak_value / div_factor, pct_start * transition_steps
    return curve(
        Segment(0.0, low, first, peak_value, cosine),
        Segment(first, peak_value, transition_steps - first, low / final_div_factor, cosine),
    )


@schedule
def cyclic_schedule(
    init_value: Number,
    peak_value: Number,
    steps_up: Number,
    steps_down: Number | None = None,
    m_mul: Number = 1.0,
    gamma: Number = 1.0,
):
    """Repeated triangles: a straight line up and one down.

        init_value + (peak_value - init_value)·triangle(step)·m_mul^i·gamma^step

    i is the number of complete cycles before the step. triangle rises from 0 to 1 and falls back to 0 in each cycle.

    Args:
        init_value: at both ends of each triangle; finite.
        peak_value: at the top of the first triangle; finite.
        steps_up: greater than 0; steps.
        steps_down: greater than 0; steps; None for the same number as steps_up.
        m_mul: at least 0; the height of each triangle divided by that of the triangle before.
        gamma: greater than 0; a factor on the height that is applied at each step.

    Source: Smith 2017 (arXiv:1506.01186), section 3. torch's `CyclicLR`: m_mul=0.5 gives its `triangular2`, gamma its
        `exp_range`. Not in optax.

    Example:
        >>> import gradtx
        >>> rate = gradtx.cyclic_schedule(0.0, 1.0, steps_up=2, m_mul=0.5)
        >>> [float(rate(t)) for t in range(8)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """
    finite(init_value=init_value, peak_value=peak_value, gamma=gamma)
    down = steps_up if steps_down is None else steps_down
    positive_finite(steps_up=steps_up, steps_down=down)
    non_negative(m_mul=m_mul)
    positive(gamma=gamma)
    triangle = curve(Segment(0.0, 0.0, steps_up, 1.0), Segment(steps_up, 1.0, down, 0.0))

    def at(step):
        index, passed = periods(step, 0.0, steps_up + down)
        height = m_mul ** jnp.asarray(index, float) * gamma ** jnp.asarray(offset(step, 0.0), float)
        weight = triangle(passed) * height
        return between(init_value, peak_value, (1.0 - weight, weight))

    return at


def _check_onecycle(transition_steps, peak_value, pct_start, div_factor, final_div_factor) -> None:
    finite(peak_value=peak_value)
    in_unit_interval(pct_start=pct_start)
    positive_finite(transition_steps=transition_steps, div_factor=div_factor, final_div_factor=final_div_factor)


def _restart(step: Any, first: Any, t_mul: Any) -> tuple[Any, Any, Any]:
    """The index of the cycle that contains a step, the steps since its start, and its length."""
    rate = t_mul - 1.0
    nonzero = jnp.where(rate == 0, 1.0, rate)
    time = jnp.asarray(offset(step, 0.0), float) / first
    index = jnp.where(rate == 0, time, jnp.log1p(time * nonzero) / jnp.log1p(nonzero))
    index = jnp.floor(jnp.maximum(index * (1 - 1e-6) - 1e-4, 0.0)).astype(int)  # this cycle, or the one before it
    index = index + (offset(step, _start(first, t_mul, index + 1)) >= 0)
    passed, length = offset(step, _start(first, t_mul, index)), first * _power(t_mul, index)
    return index, jnp.clip(passed, 0.0, length), length


def _start(first: Any, t_mul: Any, index: Any) -> Any:
    """The first step of a cycle: first·(1 + t_mul + ... + t_mul^(index - 1)), without rounding errors of integers."""
    start = first * _sum_of_powers(t_mul, index)
    off = jnp.round(start) - start
    return start + jax.lax.stop_gradient(jnp.where(jnp.abs(off) <= 2.5 * jnp.finfo(start.dtype).eps * start, off, 0.0))


def _power(x: Any, n: Any) -> Any:
    """x^n for integers n >= 0. Up to 31 it squares, which is exact if a float can hold the result; `**` is not."""
    result = x ** (n - n % 32).astype(float)
    for bit in range(5):
        result = result * jnp.where((n >> bit) % 2 == 1, x, 1.0) ** 2**bit
    return result


def _sum_of_powers(x: Any, n: Any) -> Any:
    """1 + x + ... + x^(n-1) for x near 1 or above: a geometric sum, with expm1 near 1, and its derivative at 1."""
    rate = x - 1.0
    far = jnp.where(rate > 1 / 16, rate, 1.0)
    near = jnp.where((rate != 0) & (rate <= 1 / 16), rate, 1 / 16)
    times = n.astype(float)
    at_one = times + 0.5 * times * (times - 1.0) * rate
    sums = jnp.where(rate > 1 / 16, (_power(x, n) - 1.0) / far, jnp.expm1(times * jnp.log1p(near)) / near)
    return jnp.where(rate == 0, at_one, sums)
