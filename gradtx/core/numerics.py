"""Arithmetic that algorithms share: averages, roots, quotients and bias corrections, right also in extreme cases.

Each function takes one leaf and computes in its precision. A decay may be a Python number, an array or a tracer. Terms
that depend only on a Python number are computed in double precision.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

COUNT_MAX = 2**31 - 1


def zero_count() -> jax.Array:
    """A step counter at init: int32 scalar, 0."""
    return jnp.zeros((), jnp.int32)


def increment(count: jax.Array, where: jax.Array | None = None) -> jax.Array:
    """count + 1, or count if it is 2**31 - 1 or the condition `where` is false."""
    below = count < COUNT_MAX
    counts = below if where is None else below & where
    return (count + counts.astype(jnp.int32)).astype(jnp.int32)


def _fast(in_lax: Callable, anywhere: Callable) -> Callable[[Any, Any], jax.Array]:
    """An operator on a leaf and a leaf or a scalar.

    For the first leaf of a shape JAX traces an operator in 0.3 ms, and the function of `lax` in a sixth of that.
    """

    def operate(x: Any, y: Any) -> jax.Array:
        traced = x if isinstance(x, Tracer) else y
        if isinstance(traced, Tracer):
            a, b = (traced.dtype.type(z) if type(z) is float else z for z in (x, y))
            known = jnp.issubdtype(traced.dtype, jnp.inexact) and hasattr(a, "dtype") and hasattr(b, "dtype")
            weak = getattr(a, "weak_type", False) or getattr(b, "weak_type", False)
            if known and not weak and a.dtype == b.dtype and (a.shape == b.shape or () in (a.shape, b.shape)):
                return in_lax(a, b)
        return anywhere(x, y)

    return operate


plus = _fast(jax.lax.add, operator.add)
minus = _fast(jax.lax.sub, operator.sub)
times = _fast(jax.lax.mul, operator.mul)
over = _fast(jax.lax.div, operator.truediv)


def ema(old: jax.Array, new: jax.Array, decay: Any) -> jax.Array:
    """The exponential moving average `decay*old + (1 - decay)*new`.

    It is computed as a step from the nearer end. So the weights sum to one exactly, however `decay` is rounded: 0.999
    in float32 is off by 1e-8, and the sum of two products would be off by 1e-5. `decay` = 0 gives `new`, and
    `decay` = 1 gives `old`, to the bit.
    """
    if isinstance(decay, float):
        toward = _toward if isinstance(old, Tracer) or isinstance(new, Tracer) else _toward_at_once
        return toward(old, new, 1.0 - decay) if decay > 0.5 else toward(new, old, decay)
    near_old = decay > 0.5
    step = jnp.where(near_old, 1.0 - decay, -decay)
    return jnp.where(near_old, old, new) + step * (new - old)


def scale_down(x: jax.Array, decay: Any) -> jax.Array:
    """`decay*x`, computed as `ema` of x and 0: the rounding of `decay` would add up in a running sum."""
    return ema(x, jnp.zeros_like(x), decay)


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|², real for complex x."""
    return x.real * x.real + x.imag * x.imag if jnp.iscomplexobj(x) else x * x


def clip_and_square(g: jax.Array, room: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """g and |g|² for accumulators of squares, with g clipped where its square would overflow (1.8e19 in float32).

    An accumulator that is infinite stays infinite, and every later update would be 0. A clipped entry divided by its
    root mean square still has the right size and sign. An infinite entry is a fault: its square is NaN, so that it
    shows. With `room`, g is clipped at this share of the limit: 0.5 where differences of two are squared.
    """
    return (_clip_and_square if isinstance(g, Tracer) else _eager_clip_and_square)(g, room)


def _clip_and_square(g: jax.Array, room: float) -> tuple[jax.Array, jax.Array]:
    limit = math.sqrt(float(jnp.finfo(g.dtype).max)) * (1 - 1e-6) * room
    if jnp.iscomplexobj(g):
        cut = jax.lax.complex(_clamp(g.real, limit * _SQRT_HALF), _clamp(g.imag, limit * _SQRT_HALF))
        return cut, abs_sq(cut) + 0.0 * (g.real + g.imag)
    # Not the square of the clipped entry: XLA on CPU fuses a sum of these with the square, but not with a clamp.
    # The sum hides from XLA that g may be a product c*s: of a constant c it would make c²·s², where c² may overflow.
    whole = jax.lax.add(g, jax.lax.sub(g, g))  # `lax` traces in a fifth of the time of operators
    return _clamp(g, limit), jax.lax.min(jax.lax.mul(whole, whole), np.square(np.asarray(limit, g.dtype)))


_eager_clip_and_square = jax.jit(_clip_and_square, static_argnums=1)  # one operation, not five


def safe_sqrt(x: jax.Array) -> jax.Array:
    """The square root with the derivative 0 at 0, where the true derivative is infinite and would become NaN."""
    if not isinstance(x, Tracer):
        return jax.lax.sqrt(x)
    # No `custom_jvp`: JAX's `checking_leaks` collects garbage once for each of its calls, 0.1 s in a large program.
    nothing = jax.lax.full_like(x, 0)
    zero = jax.lax.eq(x, nothing)
    return jax.lax.select(zero, nothing, jax.lax.sqrt(jax.lax.select(zero, jax.lax.full_like(x, 1), x)))


def quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y; where y is 0, the result and its derivatives are 0."""
    return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, y)).astype(x.dtype)


def divide_by_root(x: jax.Array, s: jax.Array, eps: Any = 0.0, eps_root: Any = 0.0) -> jax.Array:
    """`x/(√(s + eps_root) + eps)` for s >= 0; 0 where the divisor is 0. All derivatives are finite."""
    root = safe_sqrt(s if _is_zero(eps_root) else plus(s, eps_root))
    divisor = root if _is_zero(eps) else plus(root, eps)
    tiny = float(jnp.finfo(s.dtype).tiny)
    never_zero = any(isinstance(e, float) and e > tiny for e in (eps, eps_root))
    return over(x, divisor) if never_zero else quotient(x, divisor)


def bias_correction(decay: Any, count: jax.Array, dtype: Any) -> jax.Array:
    """`1 - decay**count`, to a few ulp for every decay in [0, 1) and every count up to 2**31 - 1.

    It is computed as `-expm1(count * log(decay))`, since a power near 1 would lose the digits of the difference.
    """
    t = count.astype(dtype)
    if isinstance(decay, float):
        return -jnp.expm1(t * math.log(decay)) if decay > 0 else jnp.ones((), dtype)
    decay = decay.astype(dtype)
    small = decay < 0.5
    return jnp.where(small, 1 - decay**t, -jnp.expm1(t * jnp.log(jnp.where(small, 0.5, decay))))


def on_real_and_imag(fn: Callable[..., tuple]) -> Callable[..., tuple]:
    """fn for real arrays, applied separately to the real and imaginary parts of complex arrays."""

    @functools.wraps(fn)
    def parts(*xs: jax.Array) -> tuple:
        if not any(map(jnp.iscomplexobj, xs)):
            return fn(*xs)
        pairs = zip(fn(*(x.real for x in xs)), fn(*(x.imag for x in xs)), strict=True)
        return tuple(jax.lax.complex(re, im) for re, im in pairs)

    return parts


_SQRT_HALF = math.sqrt(0.5)


def _toward(start: Any, end: Any, share: Any) -> jax.Array:
    return plus(start, times(share, minus(end, start)))


_toward_at_once = jax.jit(_toward)  # outside jit one operation, not three


def _clamp(x: jax.Array, limit: float) -> jax.Array:
    bound = np.asarray(limit, x.dtype)
    return jax.lax.clamp(-bound, x, bound)


def _is_zero(x: Any) -> bool:
    return isinstance(x, float) and x == 0.0
