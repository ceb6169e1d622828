"""Adam's bias corrections as a factor of the learning rate."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.numerics import bias_correction, increment
from gradtx.core.schedule import schedule


@schedule
def bias_corrections(b1: Number, b2: Number):
    """√(1 - b2^t)/(1 - b1^t) at update t, which has step t - 1."""

    def at(step):
        t, dtype = increment(jnp.asarray(step)), jnp.result_type(float)
        return jnp.sqrt(bias_correction(b2, t, dtype)) / bias_correction(b1, t, dtype)

    return at
