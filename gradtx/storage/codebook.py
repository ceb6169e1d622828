"""Code books: levels that are small floats, so that codes are computed and not looked up."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

_FRACTION = 23  # bits of a float32 behind its exponent


@dataclasses.dataclass(frozen=True)
class Book:
    """Levels in [-top, top], denser near zero: floats with few bits.

        unsigned: level = 2^(e + 1 - 2^E)·(1 + f/2^M),       never zero
        signed:   level = ±(2^(e + 1 - 2^E)·(1 + f/2^M) - 2^(1 - 2^E)),   the first is zero

    exponent: the number E of bits of e.
    fraction: the number M of bits of f.
    signed: whether there is a bit for the sign.
    """

    exponent: int
    fraction: int
    signed: bool

    @property
    def bits(self) -> int:
        """The length of a code."""
        return self.exponent + self.fraction + self.signed

    @property
    def top(self) -> float:
        """The largest level."""
        return 2.0 - 2.0**-self.fraction - self._shift

    @property
    def least(self) -> float:
        """The smallest level above zero."""
        first = 2.0 ** (1 - 2**self.exponent)
        return first * 2.0**-self.fraction if self.signed else first

    @property
    def _shift(self) -> float:
        return 2.0 ** (1 - 2**self.exponent) if self.signed else 0.0

    @property
    def _first(self) -> int:
        """The first code, as the upper bits of a float32."""
        return (128 - 2**self.exponent) << self.fraction

    def decode(self, codes: jax.Array) -> jax.Array:
        """The levels of these codes, float32."""
        codes, place = codes.astype(jnp.uint32), jnp.uint32(_FRACTION - self.fraction)
        count = jnp.uint32(2 ** (self.exponent + self.fraction) - 1)
        level = _as_float(((codes & count) + jnp.uint32(self._first)) << place)
        if not self.signed:
            return level
        sign = (codes >> jnp.uint32(self.bits - 1)) << jnp.uint32(31)
        return _as_float(_as_bits(level - jnp.float32(self._shift)) | sign)

    def encode(self, x: jax.Array, bits: jax.Array) -> jax.Array:
        """Encode numbers in [-top, top], float32, as one of the two nearest levels at random; the mean is the number.

        Numbers below the first level of an unsigned book get the first level.

        Args:
            x: float32.
            bits: uint32, random.

        Returns: uint32, below 2^bits.
        """
        place = jnp.uint32(_FRACTION - self.fraction)
        y = jnp.abs(x) + jnp.float32(self._shift) if self.signed else jnp.maximum(x, jnp.float32(self.least))
        word = _as_bits(y) + (bits & jnp.uint32(2 ** (_FRACTION - self.fraction) - 1))
        most = jnp.uint32(2 ** (self.exponent + self.fraction) - 1)
        code = jnp.minimum((word >> place) - jnp.uint32(self._first), most)
        if not self.signed:
            return code
        return code | ((_as_bits(x) >> jnp.uint32(31)) << jnp.uint32(self.bits - 1))

    def levels(self) -> jax.Array:
        """All levels in order, relative to the largest; float32."""
        return jnp.unique(self.decode(jnp.arange(2**self.bits, dtype=jnp.uint32))) / jnp.float32(self.top)


def _as_bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32)


def _as_float(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.float32)
