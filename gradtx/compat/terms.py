"""Numbers and schedules that the dialects share."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.numerics import bias_correction
from gradtx.core.schedule import Term, at, is_schedule, product_schedules, schedule


def product(a: Any, b: Any) -> Any:
    """Of two numbers or schedules."""
    return product_schedules(a, b) if is_schedule(a) or is_schedule(b) or callable(a) or callable(b) else a * b


def given(value: Any) -> bool:
    """Whether it is neither None nor the number 0, the words for "without"."""
    return not (value is None or (isinstance(value, int | float) and value == 0))


@schedule
def uncorrected(eps: Term, b2: Number):
    """The eps that, added to the root of a corrected second moment, is eps at the root of the uncorrected one.

    eps/√(1 - b2^t)        t = step + 1
    """

    def at_root(step):
        t = jnp.asarray(step, float) + 1.0
        return at(eps, step) / jnp.sqrt(bias_correction(b2, t, t.dtype))

    return at_root
