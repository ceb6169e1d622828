"""Codecs with a few bits for each number, and a scale for each block."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp

from gradtx.errors import whole
from gradtx.shown import ShownAsCall
from gradtx.storage.blocks import Blocks, cut, joined, scales_of, widened
from gradtx.storage.codebook import Book
from gradtx.storage.codec import Bits, Codec, without_derivative

# The root of the least unsigned level is about the least signed level. So a first moment that is rounded up from almost
# nothing is divided by a number as large, and its step is not larger than usual.
EIGHT = {"signed": Book(4, 3, True), "nonnegative": Book(5, 3, False)}
FOUR = {"signed": Book(2, 1, True), "nonnegative": Book(3, 1, False)}


@dataclasses.dataclass(frozen=True, repr=False)
class _Blocked(ShownAsCall, ABC):
    """The blocks and their scales, which all of these codecs have."""

    block: int
    packed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        whole(1, block=self.block)

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array."""
        return True

    def blocks(self, shape: tuple[int, ...], width: int) -> Blocks:
        """The blocks of an array of this shape, whose numbers have `width` bytes."""
        return cut(shape, self.block, self.packed, width // 2)

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, jax.Array]:
        """Codes of the numbers relative to the largest in their block, and the largest as the scale."""
        blocks, top, least = self.blocks(x.shape, x.dtype.itemsize), *self.range(role)
        view = blocks.viewed(without_derivative(self, x))
        scales = scales_of(view, 2 * top / least)
        scale = widened(scales)
        factor = jnp.where(scale > 0, top / jnp.where(scale > 0, scale, 1), 0)
        relative = (view * factor[..., None]).astype(jnp.float32)
        return self.written(role, relative, blocks.viewed(bits(x.shape)), blocks), scales

    def decode(self, role: str, codes: jax.Array, scales: jax.Array, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The level of each code, multiplied by the scale of its block."""
        blocks = self.blocks(leaf.shape, 2 * scales.dtype.itemsize)
        scale = widened(scales)
        scale = scale * jnp.asarray(1 / self.range(role)[0], scale.dtype)
        level = self.read(role, codes, blocks).astype(scale.dtype)
        return blocks.whole(level * scale[..., None])

    @abstractmethod
    def range(self, role: str) -> tuple[float, float]:
        """The largest level, and the smallest above zero, before scaling."""

    @abstractmethod
    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """The codes of numbers up to the largest level, given in the view of the blocks."""

    @abstractmethod
    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """The levels, float32, in the view of the blocks."""


@dataclasses.dataclass(frozen=True, repr=False)
class Int8(_Blocked):
    """See `int8`."""

    maker = "storage.int8"

    def range(self, role: str) -> tuple[float, float]:
        """Of the book."""
        return EIGHT[role].top, EIGHT[role].least

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """A byte for each number, in the shape of the array."""
        return blocks.whole(EIGHT[role].encode(x, bits).astype(jnp.uint8))

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """By the book."""
        return EIGHT[role].decode(blocks.viewed(codes))


@dataclasses.dataclass(frozen=True, repr=False)
class Int4(_Blocked):
    """See `int4`."""

    maker = "storage.int4"

    packed: ClassVar[bool] = True

    def range(self, role: str) -> tuple[float, float]:
        """Of the book."""
        return FOUR[role].top, FOUR[role].least

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """Two codes in a byte: the halves of each chunk; of each row, if chunks are odd or filled up."""
        codes = FOUR[role].encode(x, bits)
        if not blocks.even:
            codes = blocks.whole(codes).reshape(*blocks.shape[: blocks.axis], -1)
            codes = jnp.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, codes.shape[-1] % 2)])
        half = codes.shape[-1] // 2
        return (codes[..., :half] | (codes[..., half:] << jnp.uint32(4))).astype(jnp.uint8)

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """By the book."""
        place = jnp.asarray([0, 4], jnp.uint8).reshape((1,) * (codes.ndim - 1) + (2, 1))
        both = joined((codes[..., None, :] >> place) & jnp.uint8(15))
        if not blocks.even:
            both = both[..., : math.prod(blocks.shape[blocks.axis :])]
            both = blocks.viewed(both.reshape(blocks.shape))
        return FOUR[role].decode(both)


@dataclasses.dataclass(frozen=True, repr=False)
class Float8(_Blocked):
    """See `float8`."""

    maker = "storage.float8"

    def range(self, role: str) -> tuple[float, float]:
        """Those of the type; for divisors the smallest normal number, since zero is not a level."""
        info = jnp.finfo(self.kind(role))
        return float(info.max), float(info.tiny)

    def kind(self, role: str) -> jnp.dtype:
        """The type: more digits for numbers of both signs, more range for divisors."""
        return jnp.dtype(jnp.float8_e4m3fn if role == "signed" else jnp.float8_e5m2)

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """The bits of these floats, in the shape of the array. As int8: uint8 could be taken for codes of `int8()`."""
        kind = self.kind(role)
        top, least = self.range(role)
        cut_off = jnp.uint32(2 ** (23 - jnp.finfo(kind).nmant) - 1)
        x = jnp.maximum(x, jnp.float32(least)) if role == "nonnegative" else x
        word = jax.lax.bitcast_convert_type(x, jnp.uint32) + (bits & cut_off)
        down = jax.lax.bitcast_convert_type(word & ~cut_off, jnp.float32)
        down = jnp.where(jnp.abs(x) < jnp.float32(least), x, down)  # subnormals have fewer digits: to the nearest
        kept = jnp.clip(down, -jnp.float32(top), jnp.float32(top)).astype(kind)
        return blocks.whole(jax.lax.bitcast_convert_type(kept, jnp.int8))

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """The values of the type."""
        return jax.lax.bitcast_convert_type(blocks.viewed(codes), self.kind(role)).astype(jnp.float32)


def int8(block: int = 256) -> Codec:
    """Keep a state in one byte for each number, and two bytes for each block of neighbours.

    A byte holds the size of a number relative to the largest in its block, as a small float with 3 bits of fraction.
    For numbers of both signs the levels go down to 1/80,000, and to zero; for divisors (second moments) down to
    1/4,000,000,000, and never to zero. Numbers are rounded up or down at random, so that the mean is right and small
    steps count. Numbers above 8.5e37 count as 8.5e37.

    Args:
        block: the largest number of entries that share a scale; at least 1. A block lies in one row if rows are that
            long.

    Raises: TypeError: `block` is not a whole number. ValueError: it is below 1.
    Source: Dettmers, Lewis, Shleifer & Zettlemoyer 2022 (arXiv:2110.02861), block-wise dynamic quantisation. Theirs
        rounds to the nearest of 256 tabulated levels, and has a zero for divisors.

    Example:
        >>> import gradtx
        >>> gradtx.storage.int8()
        storage.int8(block=256)
    """
    return Int8(block)


def int4(block: int = 128) -> Codec:
    """Keep a state in four bits for each number, and two bytes for each block of neighbours.

    As `int8`, with sixteen levels: ±(0, 1, 2, 4, 6, 10, 14, 22)/22 for numbers of both signs, and from 1/192 to 1 in
    steps of about √2 for divisors.

    Args:
        block: the largest number of entries that share a scale; at least 1.

    Raises: TypeError: `block` is not a whole number. ValueError: it is below 1.
    Source: Li, Chen & Zhu 2023 (arXiv:2309.01507), who remove the zero of the second moment for the same reason.

    Example:
        >>> import gradtx
        >>> gradtx.storage.int4(block=64)
        storage.int4(block=64)
    """
    return Int4(block)


def float8(block: int = 256) -> Codec:
    """Keep a state in JAX's 8-bit floats, relative to a scale for each block: e4m3 for both signs, e5m2 for divisors.

    About as exact as `int8`, for devices that convert such floats in hardware. The codes are kept as bytes.

    Args:
        block: the largest number of entries that share a scale; at least 1.

    Raises: TypeError: `block` is not a whole number. ValueError: it is below 1, or this JAX has no such types.

    Example:
        >>> import gradtx
        >>> gradtx.storage.float8()
        storage.float8(block=256)
    """
    for kind in ("float8_e4m3fn", "float8_e5m2"):
        if not hasattr(jnp, kind):
            raise ValueError(f"float8(): JAX {jax.__version__} has no {kind}; use int8(), which takes as many bytes")
    return Float8(block)


def book(codec: Codec, role: str) -> jax.Array:
    """All levels of a codec in order, relative to the largest number in a block; for plots.

    Args:
        codec: `int8()`, `int4()` or `float8()`.
        role: "signed" or "nonnegative".

    Raises: TypeError: the codec has no such levels. ValueError: another role.

    Example:
        >>> import gradtx
        >>> print(gradtx.storage.book(gradtx.storage.int4(), "nonnegative")[-3:] * 6)
        [3. 4. 6.]
    """
    if role not in EIGHT:
        raise ValueError(f"role must be 'signed' or 'nonnegative'; got {role!r}")
    if isinstance(codec, Int8 | Int4):
        return (EIGHT if isinstance(codec, Int8) else FOUR)[role].levels()
    if not isinstance(codec, Float8):
        raise TypeError(f"codec must be int8(), int4() or float8(), which have a code book; got {codec!r}")
    kind = codec.kind(role)
    levels = jax.lax.bitcast_convert_type(jnp.arange(256, dtype=jnp.uint8), kind).astype(jnp.float32)
    top, least = codec.range(role)
    kept = jnp.isfinite(levels) & ((levels >= least) if role == "nonnegative" else True)
    return jnp.unique(levels[kept]) / jnp.float32(top)
