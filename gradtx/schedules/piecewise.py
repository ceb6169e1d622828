"""Schedules put together from parts: jumps, curves through points, one schedule after another."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradtx.core.combine import Term, at
from gradtx.core.errors import finite, non_negative, one_of, whole
from gradtx.core.schedule import Number, schedule
from gradtx.schedules.progress import Part, curve, increasing, later, since


@schedule
def piecewise_constant_schedule(init_value: Number, boundaries_and_scales: dict[int, Number] | None = None):
    """A value that is multiplied by a factor at each of some steps.

        init_value·Π scale,   over all boundaries at or before the step

    Args:
        init_value: finite.
        boundaries_and_scales: step -> factor, in the order of the steps. The steps are static, whole, at least 0; the
            factors finite and at least 0.

    Raises: ValueError: steps that do not increase; TypeError: steps that are no whole numbers.
    Source: optax's; torch's `MultiStepLR` with one factor for all. Keras' `PiecewiseConstantDecay` lists values instead
        of factors, and changes one step later: after its boundary.

    Example:
        >>> import gradtx
        >>> rate = gradtx.piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.1})
        >>> [round(float(rate(t)), 3) for t in (0, 9, 10, 19, 20)]
        [1.0, 1.0, 0.5, 0.5, 0.05]
    """
    finite(init_value=init_value)
    parts = _parts(boundaries_and_scales, first=0)

    def value(step):
        result = init_value
        for boundary, scale in parts:
            result = result * jnp.where(since(step, boundary) < 0, 1.0, scale)
        return result

    return value


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Number, boundaries_and_scales: dict[int, Number] | None = None
):
    """A curve through values at some steps, each a multiple of the one before it; constant after the last.

        value(boundary_k) = value(boundary_k-1)·scale_k,   boundary_0 = 0, value(0) = init_value

    Args:
        interpolate_type: `"linear"`, straight lines between; `"cosine"`, half cosines, level at the boundaries.
        init_value: finite.
        boundaries_and_scales: step -> factor, in the order of the steps. The steps are static, whole, at least 1; the
            factors finite and at least 0.

    Raises: ValueError: steps that do not increase, another type; TypeError: steps that are no whole numbers.
    Source: optax's.

    Example:
        >>> import gradtx
        >>> rate = gradtx.piecewise_interpolate_schedule("linear", 1.0, {10: 2.0, 20: 0.5})
        >>> [round(float(rate(t)), 3) for t in (0, 5, 10, 15, 20, 30)]
        [1.0, 1.5, 2.0, 1.5, 1.0, 1.0]
    """
    one_of(("linear", "cosine"), interpolate_type=interpolate_type)
    finite(init_value=init_value)
    begin, value = 0, init_value
    parts = []
    for boundary, scale in _parts(boundaries_and_scales, first=1):
        parts.append(Part(begin, value, boundary - begin, value * scale, interpolate_type))
        begin, value = boundary, value * scale
    return curve(*parts) if parts else lambda step: init_value


@schedule
def join_schedules(schedules: tuple[Term, ...], boundaries: tuple[Number, ...]):
    """Schedules one after another: each begins at its boundary, as at its own step 0.

        schedules[k](step - boundaries[k-1]),   k: how many boundaries are at or before the step

    Args:
        schedules: schedules, functions of the step, finite numbers. Those after the first never see a step below 0,
            also where their value is not used.
        boundaries: steps, at least 0, increasing; one fewer than schedules. A whole number is kept to the last step;
            where it is swept, it is a float32, and so are the steps that the schedules see.

    Raises: ValueError: boundaries that do not increase, or another number of them.
    Source: optax's. Its `sgdr_schedule` is a join of `warmup_cosine_decay_schedule`s.

    Example:
        >>> import gradtx
        >>> rate = gradtx.join_schedules([gradtx.linear_schedule(0.0, 1.0, 4), lambda step: 0.5**step], [4])
        >>> [float(rate(t)) for t in (0, 2, 4, 5, 6)]
        [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    if len(schedules) != len(boundaries) + 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules, where each but the first begins; got {len(schedules)} "
            f"schedules and {len(boundaries)} boundaries"
        )
    finite(**{f"schedules[{i}]": term for i, term in enumerate(schedules)})
    increasing("boundaries", boundaries)

    def value(step):
        result = at(schedules[0], step)
        for boundary, term in zip(boundaries, schedules[1:], strict=True):
            result = jnp.where(since(step, boundary) < 0, result, at(term, later(step, boundary)))
        return result

    return value


def _parts(boundaries_and_scales: dict | None, first: int) -> list[tuple[int, Any]]:
    """The pairs of the dict, checked."""
    parts = list((boundaries_and_scales or {}).items())
    for boundary, scale in parts:
        whole(first, **{"a key of boundaries_and_scales": boundary})
        non_negative(**{f"boundaries_and_scales[{boundary}]": scale})
    increasing("boundaries_and_scales", [boundary for boundary, _ in parts])
    return parts
