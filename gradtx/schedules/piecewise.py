"""Schedules made of parts: jumps, curves through points, one schedule after another."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.schedule import Term, at, schedule
from gradtx.errors import finite, non_negative, one_of, whole
from gradtx.schedules.curve import SHAPES, Segment, curve, elapsed, increasing, offset


@schedule
def piecewise_constant_schedule(init_value: Number, boundaries_and_scales: dict[int, Number] | None = None):
    """Multiplies a value by a factor at each boundary.

        init_value·Π scale,   over all boundaries at or before the step

    Args:
        init_value: finite.
        boundaries_and_scales: step -> factor, in any order. The steps are static integers, at least 0; the
            factors are finite and at least 0. None for no boundary.

    Raises: ValueError: a number is out of range; TypeError: a step is not an integer.
    Source: optax's `piecewise_constant_schedule`; torch's `MultiStepLR` if all factors are the same. Keras'
        `PiecewiseConstantDecay` lists values instead of factors, and changes one step later: after its boundary.

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
            result = result * jnp.where(offset(step, boundary) < 0, 1.0, scale)
        return result

    return value


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Number, boundaries_and_scales: dict[int, Number] | None = None
):
    """A curve through a value at each boundary, which is a multiple of the value before it; constant after the last.

        value(boundary_k) = value(boundary_k-1)·scale_k,   boundary_0 = 0, value(0) = init_value

    Args:
        interpolate_type: `"linear"` for straight lines; `"cosine"` for half cosines, which are flat at the boundaries.
        init_value: finite.
        boundaries_and_scales: step -> factor, in any order. The steps are static integers, at least 1; the
            factors are finite and at least 0. None for no boundary.

    Raises: ValueError: a number is out of range, or the type is another; TypeError: a step is not an integer.
    Source: optax's `piecewise_interpolate_schedule`.

    Example:
        >>> import gradtx
        >>> rate = gradtx.piecewise_interpolate_schedule("linear", 1.0, {10: 2.0, 20: 0.5})
        >>> [round(float(rate(t)), 3) for t in (0, 5, 10, 15, 20, 30)]
        [1.0, 1.5, 2.0, 1.5, 1.0, 1.0]
    """
    one_of(("linear", "cosine"), interpolate_type=interpolate_type)
    finite(init_value=init_value)
    begin, value = 0, init_value
    segments = []
    for boundary, scale in _parts(boundaries_and_scales, first=1):
        segments.append(Segment(begin, value, boundary - begin, value * scale, SHAPES[interpolate_type]))
        begin, value = boundary, value * scale
    return curve(*segments) if segments else lambda step: init_value


@schedule
def join_schedules(schedules: tuple[Term, ...], boundaries: tuple[Number, ...]):
    """One schedule after another. Each sees its boundary as step 0.

        schedules[k](step - boundaries[k-1]),   k: the number of boundaries at or before the step

    Args:
        schedules: schedules, functions of the step, finite numbers. Only the first may see a step below 0; the others
            do not, even where their value is not used.
        boundaries: steps, at least 0, increasing; one fewer than schedules. An integer is exact at every step. In a
            sweep it is a float32, and so are the steps that the schedules see.

    Raises: ValueError: the boundaries do not increase, or their number is wrong.
    Source: optax's `join_schedules`. Its `sgdr_schedule` is a join of `warmup_cosine_decay_schedule`s.

    Example:
        >>> import gradtx
        >>> rate = gradtx.join_schedules([gradtx.linear_schedule(0.0, 1.0, 4), lambda step: 0.5**step], [4])
        >>> [float(rate(t)) for t in (0, 2, 4, 5, 6)]
        [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    if len(schedules) != len(boundaries) + 1:
        raise ValueError(
            f"boundaries must be one fewer than schedules: every schedule but the first needs the step at which it "
            f"begins; got {len(schedules)} schedules and {len(boundaries)} boundaries"
        )
    finite(**{f"schedules[{i}]": term for i, term in enumerate(schedules)})
    increasing("boundaries", boundaries)

    def value(step):
        result = at(schedules[0], step)
        for boundary, term in zip(boundaries, schedules[1:], strict=True):
            result = jnp.where(offset(step, boundary) < 0, result, at(term, elapsed(step, boundary)))
        return result

    return value


def _parts(boundaries_and_scales: dict | None, first: int) -> list[tuple[int, Any]]:
    """The checked items of the dict, in the order of the steps; no step is below `first`."""
    parts = list((boundaries_and_scales or {}).items())
    for boundary, scale in parts:
        whole(first, **{"a key of boundaries_and_scales": boundary})
        non_negative(**{f"boundaries_and_scales[{boundary}]": scale})
    return sorted(parts, key=lambda part: part[0])
