"""Parameters in half precision with eight more bits, kept in the state."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.bits import unit_of
from gradtx.core.roles import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import is_none
from gradtx.precision.landing import (
    is_half,
    landing,
    nearest,
    on_half,
    only_half,
    require_state,
    widened,
    with_derivative,
    with_kept,
)
from gradtx.wrappers.lookup import copied


class Split24State(NamedTuple):
    """Fields: low, inner."""

    low: Exact  # the last 8 of 24 bits, uint8, like params, None where not half; 0 at init
    inner: Any  # the inner transformation's state, made from the parameters in float32


@transformation(any_leaves=True, lands=True)
def split24(inner: Transformation):
    """Keep eight more bits of parameters in half precision: together with them, floats of 24 bits.

        v = w with the low bits      v = round24(v + u)      w = v rounded to its own type, low = the rest

    v has the exponents of w's type and 8 more bits of mantissa (bfloat16: 15, float16: 18). Both ways are exact, and a
    step is lost where |u| < |v|·2⁻¹⁷ (float16: 2⁻²⁰), 256 times later than without. Above it steps are rounded to
    nearest: from 1 on, a thousand of -1e-4 leave 0.893, and not 0.9.

    Returned is the update that leads w to its new value. It chooses the parameters that `apply_updates` makes from the
    updates as they leave here, so in a chain it must be the last, and round `schedule_free` and `lookahead`. Leaves of
    other types than bfloat16 and float16 are as `inner` has them.

    Where somebody else changes w, v is the new w with the old low bits: at most half a last place off.

    Args:
        inner: the transformation; it sees v as the parameters, in float32, as do functions that it is given.

    State: `Split24State`: low, uint8, like params, 0 at init, None where a parameter is not in half precision: 1 byte
        each; inner, made from the parameters in float32.
    Raises: ValueError: `params` not given; the state was made for parameters of other types.
    Source: databricks' FlashOptim and HeavyBall keep what rounding leaves over in 8 bits too; here w and low together
        are the bits of v, and w is the nearest to v (a half goes away from zero). optax has none.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.split24(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.low)  # 0.996094 less 8 of the 256 parts of its last place
        0.996094 248
    """

    def init(params):
        zero = jax.tree.map(lambda p: jnp.zeros_like(p, jnp.uint8) if is_half(p) else None, params, is_leaf=is_none)
        return Split24State(zero, inner.init(widened(params, copied(only_half(params)))))

    def update(updates, state, params, **extra):
        require_state("low", state.low, params)
        value = with_kept(joined, params, state.low)
        updates, after = inner.update(updates, state.inner, widened(params, value), **extra)
        updates, low = on_half(_stepped, updates, params, value)
        return updates, Split24State(low, after)

    return init, update


@jax.jit
def joined(p: jax.Array, low: jax.Array) -> jax.Array:
    """The float of 24 bits, in float32, of a parameter and its low bits.

    The parameter is the upper 16 bits, or one more where the lower 8 are more than half.
    """
    word = jax.lax.bitcast_convert_type(p, jnp.uint16).astype(jnp.int32)
    size = ((word & 0x7FFF) << 8) + low.astype(jnp.int32) - jnp.where(low >= 128, 256, 0)
    size = jnp.maximum(size, 0)  # low bits of another parameter
    v = _signed(_of_size(size, p.dtype), word << 16)
    wide = p.astype(jnp.float32)
    return with_derivative(jnp.where(jnp.isfinite(wide), v, wide), wide)


@jax.jit
def _stepped(u: jax.Array, p: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    u = u.astype(jnp.float32)
    new, low = divided(value + u, p.dtype)
    way, landed = landing(u, p, new)
    return way, jnp.where(landed == new, low, jnp.uint8(0))


def divided(x: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """The parameter, in float32, and the low bits of x, rounded to 24 bits; the inverse of `joined`."""
    most = 0x7F7F if jnp.dtype(dtype).name == "bfloat16" else 0x7BFF
    size = _size(jnp.abs(x), dtype)
    size = jnp.minimum(size, (most << 8) + 127)  # what rounds to infinity is cut below
    new = _of_size(((size + 128) >> 8) << 8, dtype)
    over = jnp.isfinite(x) & jnp.isinf(nearest(x, dtype))
    new = jnp.where(over, jnp.float32(jnp.inf), new)
    new = _signed(new, jax.lax.bitcast_convert_type(x, jnp.int32))
    kept = jnp.isfinite(x) & ~over
    return jnp.where(jnp.isfinite(x), new, x), jnp.where(kept, size & 0xFF, 0).astype(jnp.uint8)


def _signed(x: jax.Array, bits: jax.Array) -> jax.Array:
    """x >= 0 with the sign of these bits; XLA takes the subnormals of float32 for zeros, which have none."""
    sign = bits & jnp.int32(-(2**31))
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, jnp.int32) | sign, jnp.float32)


def _size(x: jax.Array, dtype: Any) -> jax.Array:
    """|x| as a float of 24 bits without its sign, int32."""
    if jnp.dtype(dtype).name == "bfloat16":
        return jax.lax.bitcast_convert_type(jax.lax.reduce_precision(x, 8, 15), jnp.int32) >> 8
    unit = unit_of(x, 18)
    whole = jax.lax.round(x / unit, jax.lax.RoundingMethod.TO_NEAREST_EVEN).astype(jnp.int32)
    exponent = (jax.lax.bitcast_convert_type(unit, jnp.int32) >> 23) - (127 - 14 - 18)
    return (exponent << 18) + whole  # the leading bit of `whole` adds one to the exponent


def _of_size(size: jax.Array, dtype: Any) -> jax.Array:
    """The inverse of `_size`."""
    if jnp.dtype(dtype).name == "bfloat16":
        return jax.lax.bitcast_convert_type(size << 8, jnp.float32)
    exponent = jnp.maximum(size >> 18, 1)
    unit = jax.lax.bitcast_convert_type((exponent + (127 - 15 - 18)) << 23, jnp.float32)
    return (size - ((exponent - 1) << 18)).astype(jnp.float32) * unit
