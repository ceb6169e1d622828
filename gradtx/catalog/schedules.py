"""Entries of schedules. Their usual numbers are those of a training of 1,000 steps at a rate of 1e-3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradtx.catalog.entry import Entry, Peer, Setting
from gradtx.core.schedule import function_schedule, product_schedules, sum_schedules
from gradtx.schedules.cycles import (
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    linear_onecycle_schedule,
)
from gradtx.schedules.decay import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    inverse_sqrt_schedule,
    inverse_time_schedule,
    linear_schedule,
    polynomial_schedule,
)
from gradtx.schedules.half_life import half_life_schedule
from gradtx.schedules.piecewise import join_schedules, piecewise_constant_schedule, piecewise_interpolate_schedule
from gradtx.schedules.warmup import (
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
    warmup_schedule,
    warmup_stable_decay_schedule,
)


def _entry(
    factory: Callable[..., Any],
    group: str,
    *,
    optax: str = "",
    keras: str = "",
    torch: str = "",
    names: tuple[str, ...] = (),
    **usual: Any,
) -> Entry:
    peers = [Peer(name) if name else None for name in (optax, torch, keras)]
    setting = Setting(optax=peers[0], torch=peers[1], keras=peers[2])
    return Entry(factory, "schedule", group, usual=usual, settings={"": setting}, optax_names=names)


_RISE = {"init_value": 0.0, "peak_value": 1e-3, "warmup_steps": 100}
_CYCLE = {"transition_steps": 1000, "peak_value": 1e-3, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4}
_POWERS = {"transition_begin": 0, "staircase": False}

ENTRIES = (
    _entry(constant_schedule, "decay", optax="constant_schedule", value=1e-3),
    _entry(
        linear_schedule,
        "decay",
        optax="linear_schedule",
        torch="LinearLR",
        init_value=1e-3,
        end_value=0.0,
        transition_steps=1000,
        transition_begin=0,
    ),
    _entry(
        polynomial_schedule,
        "decay",
        optax="polynomial_schedule",
        keras="PolynomialDecay",
        torch="PolynomialLR",
        init_value=1e-3,
        end_value=0.0,
        power=2.0,
        transition_steps=1000,
        transition_begin=0,
    ),
    _entry(
        exponential_decay,
        "decay",
        optax="exponential_decay",
        keras="ExponentialDecay",
        torch="ExponentialLR",
        init_value=1e-3,
        transition_steps=1000,
        decay_rate=0.1,
        end_value=None,
        **_POWERS,
    ),
    _entry(
        half_life_schedule,
        "decay",
        init_value=0.9,
        end_value=0.9999,
        transition_steps=1000,
        transition_begin=0,
    ),
    _entry(
        inverse_time_schedule,
        "decay",
        keras="InverseTimeDecay",
        init_value=1e-3,
        transition_steps=100,
        decay_rate=1.0,
        **_POWERS,
    ),
    _entry(inverse_sqrt_schedule, "decay", **_RISE),
    _entry(
        cosine_decay_schedule,
        "decay",
        optax="cosine_decay_schedule",
        keras="CosineDecay",
        torch="CosineAnnealingLR",
        init_value=1e-3,
        decay_steps=1000,
        alpha=0.0,
        exponent=1.0,
    ),
    _entry(
        cosine_restarts_schedule,
        "cycles",
        keras="CosineDecayRestarts",
        torch="CosineAnnealingWarmRestarts",
        names=("sgdr_schedule",),
        init_value=1e-3,
        first_decay_steps=100,
        t_mul=2.0,
        m_mul=1.0,
        alpha=0.0,
    ),
    _entry(
        cyclic_schedule,
        "cycles",
        torch="CyclicLR",
        init_value=1e-4,
        peak_value=1e-3,
        steps_up=100,
        steps_down=None,
        m_mul=1.0,
        gamma=1.0,
    ),
    _entry(
        linear_onecycle_schedule,
        "cycles",
        optax="linear_onecycle_schedule",
        torch="OneCycleLR",
        pct_final=0.85,
        **_CYCLE,
    ),
    _entry(cosine_onecycle_schedule, "cycles", optax="cosine_onecycle_schedule", torch="OneCycleLR", **_CYCLE),
    _entry(warmup_schedule, "warmup", warmup_steps=100, init_value=0.0),
    _entry(warmup_constant_schedule, "warmup", optax="warmup_constant_schedule", **_RISE),
    _entry(
        warmup_cosine_decay_schedule,
        "warmup",
        optax="warmup_cosine_decay_schedule",
        decay_steps=1000,
        end_value=0.0,
        exponent=1.0,
        **_RISE,
    ),
    _entry(
        warmup_exponential_decay_schedule,
        "warmup",
        optax="warmup_exponential_decay_schedule",
        transition_steps=1000,
        decay_rate=0.1,
        end_value=None,
        **_RISE,
        **_POWERS,
    ),
    _entry(
        warmup_stable_decay_schedule,
        "warmup",
        stable_steps=700,
        decay_steps=200,
        end_value=0.0,
        decay_shape="linear",
        **_RISE,
    ),
    _entry(
        piecewise_constant_schedule,
        "piecewise",
        optax="piecewise_constant_schedule",
        keras="PiecewiseConstantDecay",
        torch="MultiStepLR",
        init_value=1e-3,
        boundaries_and_scales={500: 0.1, 750: 0.1},
    ),
    _entry(
        piecewise_interpolate_schedule,
        "piecewise",
        optax="piecewise_interpolate_schedule",
        interpolate_type="linear",
        init_value=1e-3,
        boundaries_and_scales={500: 0.1, 1000: 0.0},
    ),
    _entry(join_schedules, "piecewise", optax="join_schedules"),
    _entry(sum_schedules, "arithmetic"),
    _entry(product_schedules, "arithmetic"),
    _entry(function_schedule, "arithmetic"),
)
