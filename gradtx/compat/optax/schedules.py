"""Schedules under optax's names, arguments, order and defaults: `gradtx.compat.optax.schedules`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradtx
from gradtx.compat.optax.injection import (
    InjectHyperparamsState,
    InjectStatefulHyperparamsState,
    StatefulSchedule,
    WrappedSchedule,
    inject_hyperparams,
    inject_stateful_hyperparams,
)
from gradtx.compat.optax.kinds import Schedule

__all__ = [
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "Schedule",
    "StatefulSchedule",
    "WrappedSchedule",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "exponential_decay",
    "inject_hyperparams",
    "inject_stateful_hyperparams",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "sgdr_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]

constant_schedule = gradtx.constant_schedule
cosine_decay_schedule = gradtx.cosine_decay_schedule
cosine_onecycle_schedule = gradtx.cosine_onecycle_schedule
exponential_decay = gradtx.exponential_decay
join_schedules = gradtx.join_schedules
linear_onecycle_schedule = gradtx.linear_onecycle_schedule
linear_schedule = gradtx.linear_schedule
piecewise_constant_schedule = gradtx.piecewise_constant_schedule
piecewise_interpolate_schedule = gradtx.piecewise_interpolate_schedule
polynomial_schedule = gradtx.polynomial_schedule
warmup_constant_schedule = gradtx.warmup_constant_schedule
warmup_cosine_decay_schedule = gradtx.warmup_cosine_decay_schedule
warmup_exponential_decay_schedule = gradtx.warmup_exponential_decay_schedule


def sgdr_schedule(cosine_kwargs: Iterable[dict[str, Any]]) -> Any:
    """Several warm-ups with a cosine decay, one after another, each from step 0."""
    parts, ends, end = [], [], 0
    for numbers in cosine_kwargs:
        parts.append(warmup_cosine_decay_schedule(**numbers))
        end += numbers["decay_steps"]
        ends.append(end)
    return join_schedules(tuple(parts), tuple(ends[:-1]))
