"""Building blocks of schedules: elapsed steps, fractions of a length, and curves between two values.

A step is an int32, and float32 has no odd integers above 2²⁴. So steps are subtracted as integers, and only the
difference becomes a float.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.numerics import COUNT_MAX, safe_sqrt
from gradtx.errors import concrete, finite, non_negative, positive

Weights = tuple[Any, Any]
"""The weights of the first and of the last value of a curve. They sum to one."""
Shape = Callable[[Any, Any], Weights]
"""From the fractions of the steps that are left and done to `Weights`."""

CHUNK = 4096  # a step is split into a multiple of this and a remainder, each exact in float32


def positive_finite(**values: Any) -> None:
    """Raise ValueError unless each concrete value is finite and greater than 0."""
    positive(**values)
    finite(**values)


def increasing(name: str, boundaries: Any) -> None:
    """Raise ValueError unless the concrete boundaries increase and the first is at least 0."""
    known = [concrete(b) for b in boundaries]
    non_negative(**{f"{name}[{i}]": b for i, b in enumerate(known)})
    if any(a is not None and b is not None and a >= b for a, b in itertools.pairwise(known)):
        raise ValueError(f"{name} must increase; got {', '.join('?' if b is None else f'{b:g}' for b in known)}")


def offset(step: Any, begin: Any) -> Any:
    """step - begin: exact if begin is a Python number without a fraction, otherwise rounded as a float is.

    The result is an integer in the first case and a float in the second. Its sign is always right.
    """
    if not isinstance(step, int | float):
        step = jnp.asarray(step)
        step = step.astype(int) if jnp.issubdtype(step.dtype, jnp.integer) else step  # uint32 has no negative result
    if _is_whole(begin):
        return step - int(begin)
    if isinstance(step, int | float) and isinstance(begin, float):
        return step - begin
    step = jnp.asarray(step)
    if not jnp.issubdtype(step.dtype, jnp.integer):
        return step - begin
    rest = step % CHUNK
    chunks, begin_chunks = (step - rest).astype(float), jnp.floor(begin / CHUNK) * CHUNK
    return (chunks - begin_chunks) + (rest.astype(float) - (begin - begin_chunks))


def elapsed(step: Any, begin: Any) -> Any:
    """The steps since begin; 0 before it. This is the step that a schedule sees if it starts at begin."""
    passed = offset(step, begin)
    return jnp.where(passed < 0, 0, passed)


def fractions(step: Any, begin: Any, length: Any) -> tuple[Any, Any]:
    """The fractions of a length that are left and done. Both are in [0, 1], and each is accurate near its own zero.

    Before and after the length they are exactly 0 and 1. A length of 0 is done at once.
    """
    end, passed = begin + length, offset(step, begin)
    rest = -offset(step, end) if isinstance(end, int | float) else length - passed  # a traced sum has 24 bits only
    divisor = jnp.where(length == 0, 1.0, length)
    left, done = jnp.clip(rest, 0.0, length) / divisor, jnp.clip(passed, 0.0, length) / divisor
    # XLA divides by a constant by multiplying with its reciprocal. Then 49/49 is not 1.
    return jnp.where((passed <= 0) & (rest > 0), 1.0, left), jnp.where(rest <= 0, 1.0, done)


def periods(step: Any, begin: Any, length: Any) -> tuple[Any, Any]:
    """The number of whole periods since begin, and the steps since the last one ended; exact for whole numbers."""
    passed = elapsed(step, begin)
    if _is_whole(length) and jnp.issubdtype(jnp.result_type(passed), jnp.integer):
        return jnp.divmod(passed, int(length))
    passed = jnp.asarray(passed, float)
    times = jnp.floor_divide(passed, length)  # floor(a / b) may round the quotient up to the next integer
    return times, jnp.clip(passed - times * length, 0.0, length)


def linear(left: Any, done: Any) -> Weights:
    """A straight line."""
    return left, done


def cosine(left: Any, done: Any) -> Weights:
    """Half a cosine: (1 + cos(π·done))/2 and the rest, written as squares of sines, which are accurate near 0."""
    return jnp.sin(0.5 * jnp.pi * left) ** 2, jnp.sin(0.5 * jnp.pi * done) ** 2


def root(left: Any, done: Any) -> Weights:
    """1 - √done and √done, written so that the first is accurate near 0."""
    passed = safe_sqrt(done)
    return left / (1.0 + passed), passed


SHAPES: dict[str, Shape] = {"linear": linear, "cosine": cosine, "sqrt": root}


def powered(shape: Shape, exponent: Any) -> Shape:
    """The first weight of a shape to a power. Its derivatives are zero where the weight is 0, and 0^0 = 1."""

    def weights(left: Any, done: Any) -> Weights:
        weight = shape(left, done)[0]
        nonzero = jnp.where(weight > 0, weight, 1.0)
        weight = jnp.where((weight > 0) | (exponent == 0), nonzero**exponent, 0.0)
        return weight, 1.0 - weight

    return weights


def between(start: Any, end: Any, weights: Weights) -> Any:
    """The weighted mean of two values. It is exactly one of them where the weight of the other is 0."""
    return start * weights[0] + end * weights[1]


class Segment(NamedTuple):
    """A piece of a curve: it begins at step `begin` with the value `start`, and has the value `end` `length` later."""

    begin: Any
    start: Any
    length: Any
    end: Any
    shape: Shape = linear


def curve(*segments: Segment) -> Callable[[Any], Any]:
    """A function of the step that follows the segments, given in order. It is constant before, between and after."""

    def at(step: Any) -> Any:
        value = segments[0].start
        for begin, start, length, end, shape in segments:
            after = between(start, end, shape(*fractions(step, begin, length)))
            value = jnp.where(offset(step, begin) < 0, value, after)
        return value

    return at


def _is_whole(x: Any) -> bool:
    return isinstance(x, int | float) and math.isfinite(x) and x == int(x) and abs(x) <= COUNT_MAX
