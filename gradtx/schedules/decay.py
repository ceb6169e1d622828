"""Schedules of the learning rate, or of any other hyperparameter; `step` counts the updates already done."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.errors import finite, non_negative, positive
from gradtx.core.schedule import Number, schedule


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
    """A straight line from one value to another, constant before and after.

        init_value + (end_value - init_value)·min(max(step - transition_begin, 0)/transition_steps, 1)

    Args:
        init_value, end_value: finite.
        transition_steps: greater than 0; steps.
        transition_begin: at least 0; the step at which the line begins.

    Source: optax's `linear_schedule`, except that 0 transition steps are an error here.

    Example:
        >>> import gradtx
        >>> [round(float(gradtx.linear_schedule(1.0, 0.0, transition_steps=4)(t)), 2) for t in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]
    """
    finite(init_value=init_value, end_value=end_value)
    positive(transition_steps=transition_steps)
    non_negative(transition_begin=transition_begin)

    def at(step):
        done = jnp.clip((step - transition_begin) / transition_steps, 0.0, 1.0)
        return init_value + (end_value - init_value) * done

    return at


@schedule
def exponential_decay(init_value: Number, transition_steps: Number, decay_rate: Number, *, staircase: bool = False):
    """A value that is multiplied by the same factor every so many steps.

        init_value·decay_rate^(step/transition_steps),   the exponent rounded down with staircase

    Args:
        init_value: finite.
        transition_steps: greater than 0; steps.
        decay_rate: greater than 0.
        staircase: change at whole multiples of transition_steps only.

    Source: optax's and Keras' `exponential_decay`.

    Example:
        >>> import gradtx
        >>> float(gradtx.exponential_decay(1.0, transition_steps=10, decay_rate=0.25)(5))
        0.5
    """
    finite(init_value=init_value)
    positive(transition_steps=transition_steps, decay_rate=decay_rate)

    def at(step):
        periods = step / transition_steps
        return init_value * decay_rate ** (jnp.floor(periods) if staircase else periods)

    return at


@schedule
def cosine_decay_schedule(init_value: Number, decay_steps: Number, alpha: Number = 0.0):
    """Half a cosine from one value down to a share of it, constant after.

        init_value·((1 - alpha)·(1 + cos(π·min(step/decay_steps, 1)))/2 + alpha)

    Args:
        init_value: finite.
        decay_steps: greater than 0; steps.
        alpha: the share of init_value at the end; finite.

    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5, without restarts. optax's, without its exponent.

    Example:
        >>> import gradtx
        >>> [round(float(gradtx.cosine_decay_schedule(1.0, 10)(t)), 2) for t in (0, 5, 10, 20)]
        [1.0, 0.5, 0.0, 0.0]
    """
    finite(init_value=init_value, alpha=alpha)
    positive(decay_steps=decay_steps)

    def at(step):
        done = jnp.clip(step / decay_steps, 0.0, 1.0)
        return init_value * ((1.0 - alpha) * 0.5 * (1.0 + jnp.cos(jnp.pi * done)) + alpha)

    return at


@schedule
def warmup_cosine_decay_schedule(
    init_value: Number, peak_value: Number, warmup_steps: Number, decay_steps: Number, end_value: Number = 0.0
):
    """A straight line up to a peak, then half a cosine down.

    Args:
        init_value: at step 0; finite. peak_value: at step warmup_steps; finite. end_value: at the end; finite.
        warmup_steps: at least 0; steps.
        decay_steps: the whole length, warm-up included; greater than warmup_steps.

    Raises: ValueError: decay_steps not above warmup_steps.
    Source: optax's, without its exponent.

    Example:
        >>> import gradtx
        >>> rate = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=30)
        >>> [round(float(rate(t)), 2) for t in (0, 5, 10, 20, 30)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    finite(init_value=init_value, peak_value=peak_value, end_value=end_value)
    non_negative(warmup_steps=warmup_steps)
    positive(**{"decay_steps - warmup_steps": decay_steps - warmup_steps})

    def at(step):
        up = init_value + (peak_value - init_value) * step / jnp.maximum(warmup_steps, 1.0)
        done = jnp.clip((step - warmup_steps) / (decay_steps - warmup_steps), 0.0, 1.0)
        down = end_value + (peak_value - end_value) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        return jnp.where(step < warmup_steps, up, down)

    return at
