"""Numbers and schedules that the dialects share."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from gradtx.core.hyper import Number
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
    if b2 == 0.0:
        return lambda step: at(eps, step)
    return lambda step: at(eps, step) / jnp.sqrt(-jnp.expm1(math.log(b2) * (jnp.asarray(step) + 1.0)))
