"""Codecs of a few bits a number and a scale for each block."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from gradtx.core.errors import whole
from gradtx.storage.blocks import Blocks, cut, scales_of, widened
from gradtx.storage.codebook import Book
from gradtx.storage.codec import Bits, CallRepr, Codec, without_derivative

# Behind each signed book an unsigned one of which the root reaches about as far down: what is rounded up from nothing
# in the first moment is then divided by no less than that, and makes no step larger than usual.
EIGHT = {"signed": Book(4, 3, True), "nonnegative": Book(5, 3, False)}
FOUR = {"signed": Book(2, 1, True), "nonnegative": Book(3, 1, False)}


@dataclasses.dataclass(frozen=True, repr=False)
class _Blocked(CallRepr):
    """What these codecs share: the blocks, and their scales."""

    block: int
    packed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        whole(1, block=self.block)

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array."""
        return True

    def blocks(self, shape: tuple[int, ...], width: int) -> Blocks:
        """The cut of an array of this shape, whose numbers have so many bytes."""
        return cut(shape, self.block, self.packed, width // 2)

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, jax.Array]:
        """Codes of the numbers relative to the largest in their block, and that one."""
        blocks, top, least = self.blocks(x.shape, x.dtype.itemsize), *self.range(role)
        view = blocks.viewed(without_derivative(self, x))
        scales = scales_of(view, 2 * top / least)
        scale = widened(scales)
        factor = jnp.where(scale > 0, top / jnp.where(scale > 0, scale, 1), 0)
        relative = (view * factor[..., None]).astype(jnp.float32)
        return self.written(role, relative, blocks.viewed(bits(x.shape)), blocks), scales

    def decode(self, role: str, codes: jax.Array, scales: jax.Array, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The level of each code, times the scale of its block."""
        blocks = self.blocks(leaf.shape, 2 * scales.dtype.itemsize)
        scale = widened(scales)
        scale = scale * jnp.asarray(1 / self.range(role)[0], scale.dtype)
        level = self.read(role, codes, blocks).astype(scale.dtype)
        return blocks.whole(level * scale[..., None])

    def range(self, role: str) -> tuple[float, float]:
        """The largest level and the smallest above zero, before they are scaled."""
        raise NotImplementedError

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """What is kept of numbers up to the largest level, in the view of the blocks."""
        raise NotImplementedError

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """The levels, float32, in the view of the blocks."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, repr=False)
class Int8(_Blocked):
    """See `int8`."""

    def range(self, role: str) -> tuple[float, float]:
        """Of the book."""
        return EIGHT[role].top, EIGHT[role].least

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """A byte each, in the shape of the array."""
        return blocks.whole(EIGHT[role].encode(x, bits).astype(jnp.uint8))

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """By the book."""
        return EIGHT[role].decode(blocks.viewed(codes))


@dataclasses.dataclass(frozen=True, repr=False)
class Int4(_Blocked):
    """See `int4`."""

    packed: ClassVar[bool] = True

    def range(self, role: str) -> tuple[float, float]:
        """Of the book."""
        return FOUR[role].top, FOUR[role].least

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """The halves of each chunk in the halves of its bytes; of each row, where chunks are odd or filled up."""
        codes = FOUR[role].encode(x, bits)
        if not blocks.even:
            codes = blocks.whole(codes).reshape(*blocks.shape[: blocks.axis], -1)
            codes = jnp.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, codes.shape[-1] % 2)])
        half = codes.shape[-1] // 2
        return (codes[..., :half] | (codes[..., half:] << jnp.uint32(4))).astype(jnp.uint8)

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """By the book."""
        place = jnp.asarray([0, 4], jnp.uint8).reshape((1,) * (codes.ndim - 1) + (2, 1))
        both = ((codes[..., None, :] >> place) & jnp.uint8(15)).reshape(*codes.shape[:-1], -1)
        if not blocks.even:
            both = both[..., : math.prod(blocks.shape[blocks.axis :])]
            both = blocks.viewed(both.reshape(blocks.shape))
        return FOUR[role].decode(both)


@dataclasses.dataclass(frozen=True, repr=False)
class Float8(_Blocked):
    """See `float8`."""

    def range(self, role: str) -> tuple[float, float]:
        """Of the type; the smallest normal number, where zero is none."""
        info = jnp.finfo(self.kind(role))
        return float(info.max), float(info.tiny)

    def kind(self, role: str) -> jnp.dtype:
        """The type: more digits for numbers of both signs, a wider range for the others."""
        return jnp.dtype(jnp.float8_e4m3fn if role == "signed" else jnp.float8_e5m2)

    def written(self, role: str, x: jax.Array, bits: jax.Array, blocks: Blocks) -> jax.Array:
        """The bits of these floats, in the shape of the array: not uint8, or they would pass for codes of `int8()`."""
        kind = self.kind(role)
        top, least = self.range(role)
        cut_off = jnp.uint32(2 ** (23 - jnp.finfo(kind).nmant) - 1)
        x = jnp.maximum(x, jnp.float32(least)) if role == "nonnegative" else x
        word = jax.lax.bitcast_convert_type(x, jnp.uint32) + (bits & cut_off)
        down = jax.lax.bitcast_convert_type(word & ~cut_off, jnp.float32)
        down = jnp.where(jnp.abs(x) < jnp.float32(least), x, down)  # there the type has fewer digits: to the nearest
        kept = jnp.clip(down, -jnp.float32(top), jnp.float32(top)).astype(kind)
        return blocks.whole(jax.lax.bitcast_convert_type(kept, jnp.int8))

    def read(self, role: str, codes: jax.Array, blocks: Blocks) -> jax.Array:
        """As the type has it."""
        return jax.lax.bitcast_convert_type(blocks.viewed(codes), self.kind(role)).astype(jnp.float32)


def int8(block: int = 256) -> Codec:
    """Keep a state in a byte a number, and two more for each block of neighbours.

    A byte says how large a number is relative to the largest in its block, by a book of small floats with 3 bits of
    fraction: from 1/80,000 for both signs, with zero; from 1/4,000,000,000 for what is divided by, without zero. It is
    rounded up or down by chance, so that the mean is right and small steps count. Numbers above 8.5e37 count as that.

    Args:
        block: how many numbers share a scale at most; at least 1. A block lies in one row where rows are that long.

    Raises: TypeError: `block` is no whole number. ValueError: it is below 1.
    Source: Dettmers, Lewis, Shleifer & Zettlemoyer 2022 (arXiv:2110.02861), block-wise dynamic quantisation; theirs is
        rounded to the nearest of 256 tabulated levels, and its unsigned book has a zero.

    Example:
        >>> import gradtx
        >>> gradtx.storage.int8()
        int8(block=256)
    """
    return Int8(block)


def int4(block: int = 128) -> Codec:
    """Keep a state in four bits a number, and two bytes for each block of neighbours.

    As `int8`, with books of sixteen levels: ±(0, 1, 2, 4, 6, 10, 14, 22)/22, and from 1/192 to 1 in steps of about √2.

    Args:
        block: how many numbers share a scale at most; at least 1.

    Raises: TypeError: `block` is no whole number. ValueError: it is below 1.
    Source: Li, Chen & Zhu 2023 (arXiv:2309.01507), which has the second moment's zero taken out, for the reason that
        it is here.

    Example:
        >>> import gradtx
        >>> gradtx.storage.int4(block=64)
        int4(block=64)
    """
    return Int4(block)


def float8(block: int = 256) -> Codec:
    """Keep a state in JAX's 8-bit floats relative to a scale for each block: e4m3 for both signs, else e5m2.

    About as exact as `int8`, for devices that convert such floats by themselves. The codes are kept as bytes.

    Args:
        block: how many numbers share a scale at most; at least 1.

    Raises: TypeError: `block` is no whole number. ValueError: it is below 1; this JAX has no such type.

    Example:
        >>> import gradtx
        >>> gradtx.storage.float8()
        float8(block=256)
    """
    for kind in ("float8_e4m3fn", "float8_e5m2"):
        if not hasattr(jnp, kind):
            raise ValueError(f"float8(): JAX {jax.__version__} has no {kind}; int8() takes as many bytes")
    return Float8(block)


def book(codec: Codec, role: str) -> jax.Array:
    """All levels of a code book in order, relative to the largest in a block: for pictures.

    Args:
        codec: `int8()`, `int4()` or `float8()`.
        role: "signed" or "nonnegative".

    Raises: TypeError: the codec has no book. ValueError: another role.

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
        raise TypeError(f"{codec!r} has no code book; int8(), int4() and float8() have")
    kind = codec.kind(role)
    levels = jax.lax.bitcast_convert_type(jnp.arange(256, dtype=jnp.uint8), kind).astype(jnp.float32)
    top, least = codec.range(role)
    kept = jnp.isfinite(levels) & ((levels >= least) if role == "nonnegative" else True)
    return jnp.unique(levels[kept]) / jnp.float32(top)
