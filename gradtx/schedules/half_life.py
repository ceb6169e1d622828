"""A schedule for weights of the past."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.schedule import schedule
from gradtx.errors import below_one, non_negative, positive
from gradtx.schedules.curve import between, fractions, positive_finite


@schedule
def half_life_schedule(init_value: Number, end_value: Number, transition_steps: Number, transition_begin: Number = 0):
    """A weight of the past whose half-life goes along a straight line; constant before and after.

        h = -1/log₂(value)       the steps after which a gradient counts half
        h goes from that of init_value to that of end_value; the value is 2^(-1/h)

    A straight line of the weight itself, from 0.9 to 0.9999, would forget too fast until its end: halfway its half-life
    is 14 steps; here it is 3,469.

    Args:
        init_value, end_value: greater than 0, less than 1.
        transition_steps: greater than 0; steps.
        transition_begin: at least 0; the step at which the change begins.

    Source: Pagliardini et al. 2024 (arXiv:2409.03137), appendix A.1, for b3 of AdEMAMix; there it counts from step 1.

    Example:
        >>> import gradtx
        >>> b3 = gradtx.half_life_schedule(0.9, 0.9999, transition_steps=1000)
        >>> [round(float(b3(t)), 4) for t in (0, 500, 1000)]
        [0.9, 0.9998, 0.9999]
    """
    positive(init_value=init_value, end_value=end_value)
    below_one(init_value=init_value, end_value=end_value)
    positive_finite(transition_steps=transition_steps)
    non_negative(transition_begin=transition_begin)

    def at(step):
        left, done = fractions(step, transition_begin, transition_steps)
        life = between(-1.0 / jnp.log2(init_value), -1.0 / jnp.log2(end_value), (left, done))
        return jnp.where(left == 1.0, init_value, jnp.where(done == 1.0, end_value, jnp.exp2(-1.0 / life)))

    return at
