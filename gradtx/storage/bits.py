"""Cheap random bits, and stochastic rounding with them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def hashed_bits(seed: Any, shape: tuple[int, ...]) -> jax.Array:
    """32 random bits for each entry of an array: a hash of the position of the entry.

    XLA computes them inside the loop that uses them, in parallel, and alike on any mesh; `jax.random` costs ten times
    as much, and a pass over memory. They are good enough to round with, not to draw samples with.

    Args:
        seed: an integer scalar; use another one for every array and step.
        shape: the shape of the array. Entries 2³² positions apart have the same bits.
    """
    place, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        place += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    start = _mixed(jnp.asarray(seed).astype(jnp.uint32) * jnp.uint32(0x9E3779B1))
    # One multiplication is enough, since `place * 0x9E3779B1` is spread out; a second makes the loop slower by a third.
    x = place * jnp.uint32(0x9E3779B1) + start
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x85EBCA6B)
    return x ^ (x >> jnp.uint32(16))


def rounded_stochastically(x: jax.Array, dtype: Any, bits: jax.Array) -> jax.Array:
    """Round x to a narrower type, up or down at random, so that the mean is x. Finite numbers never become infinite.

    Args:
        x: float32, or float64 with 32 bits in use. NaN and infinities stay.
        dtype: bfloat16 or float16.
        bits: uint32, in the shape of x.
    """
    down = _bfloat16 if jnp.finfo(dtype).nmant == 7 else _float16
    if x.dtype.itemsize == 8:
        most = float(jnp.finfo(jnp.float32).max)
        x = jnp.where(jnp.isfinite(x), jnp.clip(x, -most, most), x)
    return down(x.astype(jnp.float32), bits)


def _bfloat16(x: jax.Array, bits: jax.Array) -> jax.Array:
    """The upper half of a float32, after adding random bits to the lower half, which may carry. All on integers.

    XLA's casts to bfloat16 take twice as long on CPU.
    """
    word = jax.lax.bitcast_convert_type(x, jnp.uint32)
    size, infinite, most = word & jnp.uint32(0x7FFFFFFF), jnp.uint32(0x7F800000), jnp.uint32(0x7F7FFFFF)
    rounded = jnp.where(size < infinite, jnp.minimum(size + (bits >> jnp.uint32(16)), most), size)
    rounded = jnp.where(size > infinite, jnp.uint32(0x7FC00000), rounded) | (word & jnp.uint32(0x80000000))
    return jax.lax.bitcast_convert_type((rounded >> jnp.uint32(16)).astype(jnp.uint16), jnp.bfloat16)


def _float16(x: jax.Array, bits: jax.Array) -> jax.Array:
    """Rounds in units of the last place, which is the same for all numbers below 2⁻¹⁴."""
    most = float(jnp.finfo(jnp.float16).max)
    held = jnp.clip(x, -most, most)
    unit = unit_of(held, 10)
    scaled = held / unit
    share = (bits >> jnp.uint32(8)).astype(jnp.float32) * 2.0**-24
    down = jnp.floor(scaled)
    rounded = jnp.clip((down + (scaled - down > share).astype(jnp.float32)) * unit, -most, most)
    return jnp.where(jnp.isfinite(x), rounded, x).astype(jnp.float16)


def unit_of(x: jax.Array, mantissa: int) -> jax.Array:
    """The distance between neighbours at x, with the exponents of float16 and this many bits of mantissa."""
    exponent = jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0x7F800000)
    floor = jnp.maximum(exponent, jnp.uint32((127 - 14) << 23))
    return jax.lax.bitcast_convert_type(floor, jnp.float32) * jnp.float32(2.0**-mantissa)


def _mixed(x: jax.Array) -> jax.Array:
    """The finalizer of MurmurHash3 (Appleby, public domain): every bit of x changes every bit of the result."""
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> jnp.uint32(16))
