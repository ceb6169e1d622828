"""Parameters in half precision with eight more bits, kept in the state."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.precision.half import nearest, on_wide_parameters, update_to, with_derivative
from gradtx.storage.bits import unit_of


class Split24State(NamedTuple):
    """The state of `split24`.

    low: the last 8 of 24 bits, uint8, like params; None for parameters not in half precision. 0 at init.
    inner: the inner transformation's state, made from the parameters in float32.
    """

    low: Exact
    inner: Any


@transformation(any_leaves=True, sets_params=True)
def split24(inner: Transformation):
    """Keep eight more bits of each parameter in half precision; both together are a float of 24 bits.

        v = w and its low bits together      v = round24(v + u)      w = v rounded to its type, low = the remaining bits

    v has the exponents of w's type and 8 more bits of mantissa (bfloat16: 15, float16: 18). Joining and splitting are
    exact. A step is lost where |u| < |v|·2⁻¹⁷ (float16: 2⁻²⁰), that is at 1/256 of the size that is lost without the
    low bits. Larger steps are rounded to nearest: a thousand steps of -1e-4 from 1 end at 0.893 instead of 0.9.

    The updates must be added as they are: in a chain this is the last member, and it goes outside `schedule_free` and
    `lookahead`. Parameters that are not bfloat16 or float16 get the updates of `inner`.

    If something else changes w, v is the new w with the old low bits: at most half a last place off.

    Args:
        inner: the transformation. It sees v, in float32, as the parameters, and so do functions given to it.

    State: `Split24State`, 1 byte for each parameter in half precision.
    Raises: ValueError: `params` is not given, or the state was made for parameters of other types.
    Source: databricks' FlashOptim and HeavyBall keep the rounding error in 8 bits too. Here w and low together are the
        bits of v, and w is the value nearest to v (a half is rounded away from zero). Not in optax.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.split24(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.low)  # 0.996094 minus 8/256 of its last place
        0.996094 248
    """
    return on_wide_parameters(
        inner, Split24State, start=lambda wide: jnp.zeros_like(wide, jnp.uint8), read=joined, write=_stepped
    )


@jax.jit
def joined(p: jax.Array, low: jax.Array) -> jax.Array:
    """A parameter and its low bits as the float of 24 bits that they are, in float32.

    The parameter is the upper 16 bits, plus one where the lower 8 are more than half.
    """
    word = jax.lax.bitcast_convert_type(p, jnp.uint16).astype(jnp.int32)
    size = ((word & 0x7FFF) << 8) + low.astype(jnp.int32) - jnp.where(low >= 128, 256, 0)
    size = jnp.maximum(size, 0)  # below 0 where the low bits are those of another parameter
    v = _signed(_of_size(size, p.dtype), word << 16)
    wide = p.astype(jnp.float32)
    return with_derivative(jnp.where(jnp.isfinite(wide), v, wide), wide)


@jax.jit
def _stepped(u: jax.Array, p: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    u = u.astype(jnp.float32)
    new, low = divided(value + u, p.dtype)
    way, reached = update_to(u, p, new)
    return way, jnp.where(reached == new, low, jnp.uint8(0))


def divided(x: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """The parameter, in float32, and the low bits of x, rounded to 24 bits; the inverse of `joined`."""
    most = 0x7F7F if jnp.dtype(dtype).name == "bfloat16" else 0x7BFF
    size = _size(jnp.abs(x), dtype)
    size = jnp.minimum(size, (most << 8) + 127)  # what rounds to infinity is set below
    new = _of_size(((size + 128) >> 8) << 8, dtype)
    over = jnp.isfinite(x) & jnp.isinf(nearest(x, dtype))
    new = jnp.where(over, jnp.float32(jnp.inf), new)
    new = _signed(new, jax.lax.bitcast_convert_type(x, jnp.int32))
    kept = jnp.isfinite(x) & ~over
    return jnp.where(jnp.isfinite(x), new, x), jnp.where(kept, size & 0xFF, 0).astype(jnp.uint8)


def _signed(x: jax.Array, bits: jax.Array) -> jax.Array:
    """x >= 0 with the sign of these bits. Bits, since XLA on CPU takes float32 subnormals for zeros."""
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
