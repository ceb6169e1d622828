"""What schedules are made of: how many steps have passed, what share of a length that is, curves between two values.

A step is an int32, and float32 has no odd integers above 2²⁴: steps are therefore subtracted before they become floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.errors import concrete, finite, non_negative, positive
from gradtx.core.numerics import COUNT_MAX, safe_sqrt

CHUNK = 4096  # a step is chunks and a rest, each exact in float32


def lengths(**values: Any) -> None:
    """Raise ValueError unless each concrete value is finite and greater than 0."""
    positive(**values)
    finite(**values)


def increasing(name: str, boundaries: Any) -> None:
    """Raise ValueError where one concrete boundary is not above the one before it, or the first is negative."""
    known = [concrete(b) for b in boundaries]
    non_negative(**{f"{name}[{i}]": b for i, b in enumerate(known)})
    if any(a is not None and b is not None and a >= b for a, b in itertools.pairwise(known)):
        raise ValueError(f"{name} must increase; got {', '.join('?' if b is None else f'{b:g}' for b in known)}")


def since(step: Any, begin: Any) -> Any:
    """step - begin: exact where begin is a whole Python number, otherwise to the last digit of a float.

    The result is then an integer, or a float. Its sign is always right.
    """
    if not isinstance(step, int | float):
        step = jnp.asarray(step)
        step = step.astype(int) if jnp.issubdtype(step.dtype, jnp.integer) else step  # no uint32 below 0, no int8
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


def later(step: Any, begin: Any) -> Any:
    """As `since`, and 0 before: a step for what begins there."""
    passed = since(step, begin)
    return jnp.where(passed < 0, 0, passed)


def shares(step: Any, begin: Any, length: Any) -> tuple[Any, Any]:
    """The share of a length that is left, and the share that is done: both in [0, 1], and each right near its zero.

    They are 0 and 1 to the bit outside; a length of 0 is done at once.
    """
    end, passed = begin + length, since(step, begin)
    rest = -since(step, end) if isinstance(end, int | float) else length - passed  # a traced sum has 24 digits
    divisor = jnp.where(length == 0, 1.0, length)
    left, done = jnp.clip(rest, 0.0, length) / divisor, jnp.clip(passed, 0.0, length) / divisor
    # XLA divides by a constant as it multiplies with its reciprocal, and 49/49 is then not 1.
    return jnp.where((passed <= 0) & (rest > 0), 1.0, left), jnp.where(rest <= 0, 1.0, done)


def divided(step: Any, begin: Any, length: Any) -> tuple[Any, Any]:
    """How many whole lengths have passed since begin, and the steps since the last; exact for whole numbers."""
    passed = later(step, begin)
    if _is_whole(length) and jnp.issubdtype(jnp.result_type(passed), jnp.integer):
        return jnp.divmod(passed, int(length))
    passed = jnp.asarray(passed, float)
    times = jnp.floor_divide(passed, length)  # rounds no quotient up to the next integer, as floor(a / b) may
    return times, jnp.clip(passed - times * length, 0.0, length)


def raised(share: Any, exponent: Any) -> Any:
    """share^exponent for a share in [0, 1], with zero derivatives where the share is 0; 0^0 = 1."""
    positive_share = jnp.where(share > 0, share, 1.0)
    return jnp.where((share > 0) | (exponent == 0), positive_share**exponent, 0.0)


def linear(left: Any, done: Any) -> tuple[Any, Any]:
    """The weights of the two ends on a straight line."""
    return left, done


def cosine(left: Any, done: Any) -> tuple[Any, Any]:
    """On half a cosine: (1 + cos(π·done))/2 and the rest, as squares of sines, which are right near 0."""
    return jnp.sin(0.5 * jnp.pi * left) ** 2, jnp.sin(0.5 * jnp.pi * done) ** 2


def root(left: Any, done: Any) -> tuple[Any, Any]:
    """On 1 - √done, written so that it is right near 0."""
    passed = safe_sqrt(done)
    return left / (1.0 + passed), passed


SHAPES: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {"linear": linear, "cosine": cosine, "sqrt": root}


def between(start: Any, end: Any, weights: tuple[Any, Any]) -> Any:
    """The mean of two values with weights that sum to one; either value to the bit where the other's weight is 0."""
    return start * weights[0] + end * weights[1]


class Part(NamedTuple):
    """Of a curve: the step at which it begins and its value there, its length and the value after it."""

    begin: Any
    start: Any
    length: Any
    end: Any
    shape: str = "linear"


def curve(*parts: Part) -> Callable[[Any], Any]:
    """A function of the step: the parts in their order, constant before, after and between them."""

    def at(step: Any) -> Any:
        value = parts[0].start
        for part in parts:
            weights = SHAPES[part.shape](*shares(step, part.begin, part.length))
            value = jnp.where(since(step, part.begin) < 0, value, between(part.start, part.end, weights))
        return value

    return at


def _is_whole(x: Any) -> bool:
    return isinstance(x, int | float) and math.isfinite(x) and x == int(x) and abs(x) <= COUNT_MAX
