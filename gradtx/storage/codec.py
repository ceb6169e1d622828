"""The protocol of codecs, and those that keep an array as it is or in a shorter type."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from gradtx.core.leaves import float_dtype
from gradtx.errors import describe
from gradtx.shown import ShownAsCall
from gradtx.storage.bits import rounded_stochastically

Bits = Callable[[tuple[int, ...]], jax.Array]
"""Random bits of a shape, uint32: the same for the same step and leaf, on any mesh."""


@runtime_checkable
class Codec(Protocol):
    """How arrays of a state are kept between steps. Write a frozen dataclass: it must compare, hash and pickle.

    Arrays are real, float32 or float64, with at least one axis and one entry. A complex leaf comes as one array of its
    real and imaginary parts, along a new first axis.
    """

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Whether it encodes such an array in the role "signed" or "nonnegative". Others stay as they are."""
        ...

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, jax.Array | None]:
        """The codes and scales of an array. Their shapes follow from its shape; they should share its leading axes."""
        ...

    def decode(self, role: str, codes: jax.Array, scales: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array of these codes. `scales` is None where `encode` gave None.

        `leaf` has the shape of the array, and the width of the gradient, the only one known here.
        """
        ...


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def without_derivative(codec: Codec, x: jax.Array) -> jax.Array:
    """x, without a derivative: that of codes is zero, which would be wrong."""
    return x


@functools.partial(without_derivative.defjvp, symbolic_zeros=True)
def _(codec: Codec, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    if not isinstance(tangents[0], SymbolicZero):
        raise TypeError(
            f"a state encoded by {codec!r} has no derivative: differentiate through the transformation without store, "
            f"or with float32()"
        )
    return primals[0], tangents[0]


def require_codec(**codecs: Any) -> None:
    """Raise TypeError unless each value is a codec; a class is not."""
    for name, codec in codecs.items():
        if isinstance(codec, type) or not isinstance(codec, Codec):
            called = f": call it, {codec.__name__}()" if callable(codec) and hasattr(codec, "__name__") else ""
            raise TypeError(f"{name} must be a codec, as gradtx.storage.int8(); got {describe(codec)}{called}")


@dataclasses.dataclass(frozen=True, repr=False)
class Float32(ShownAsCall):
    """See `float32`."""

    maker = "storage.float32"

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """None: all arrays stay as they are."""
        return False

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """The array."""
        return x, None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array."""
        return codes


@dataclasses.dataclass(frozen=True, repr=False)
class BFloat16(ShownAsCall):
    """See `bfloat16`."""

    maker = "storage.bfloat16"

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array."""
        return True

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """The upper half of its bits, rounded up or down at random."""
        x, tiny = without_derivative(self, x), jnp.asarray(jnp.finfo(jnp.float32).tiny, x.dtype)
        if role == "nonnegative" and x.dtype.itemsize == 8:
            x = jnp.where(x > 0, jnp.maximum(x, tiny), x)
        return rounded_stochastically(x, jnp.bfloat16, bits(x.shape)), None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The same numbers, in the width of the gradient."""
        # By its bits: XLA's cast takes longer on CPU.
        upper = jax.lax.bitcast_convert_type(codes, jnp.uint16).astype(jnp.uint32) << jnp.uint32(16)
        return jax.lax.bitcast_convert_type(upper, jnp.float32).astype(float_dtype(leaf))


@dataclasses.dataclass(frozen=True, repr=False)
class Offloaded(ShownAsCall):
    """See `offloaded`."""

    maker = "storage.offloaded"

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array, if the device has such memory.

        Raises: ValueError: it has none.
        """
        _space()
        return True

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """The bits of the array, in host memory."""
        # As integers: JAX 0.10 matches donated buffers by shape and type, and a host buffer for an update on the device
        # aborts the process.
        x, word = without_derivative(self, x), jnp.uint64 if x.dtype.itemsize == 8 else jnp.uint32
        return jax.device_put(jax.lax.bitcast_convert_type(x, word), _space().Host), None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array, in device memory."""
        width = jnp.float64 if codes.dtype.itemsize == 8 else jnp.float32
        return jax.lax.bitcast_convert_type(jax.device_put(codes, _space().Device), width)


def float32() -> Codec:
    """Keep a state unchanged: float32, or float64 if the parameters are.

    Example:
        >>> import gradtx
        >>> gradtx.storage.float32()
        storage.float32()
    """
    return Float32()


def bfloat16() -> Codec:
    """Keep a state in bfloat16, 2 bytes a number, rounded up or down at random, so that the mean is right.

    Rounded to nearest, a second moment with b2 = 0.999 stops at half of its value: steps of a thousandth are lost.
    Finite numbers never become infinite, and positive numbers never zero.

    Example:
        >>> import gradtx
        >>> gradtx.storage.bfloat16()
        storage.bfloat16()
    """
    return BFloat16()


def offloaded() -> Codec:
    """Keep a state in host memory between steps, with all its digits; a step moves it to the device and back.

    `tx.init(params)` outside jit puts it there. Under jit, JAX wants a program whose state comes in and goes out in
    host memory.

    Raises: ValueError, when a state is made: the device has no such memory, or this JAX cannot move arrays into it.

    Example:
        >>> import gradtx
        >>> gradtx.storage.offloaded()
        storage.offloaded()
    """
    return Offloaded()


def _space() -> Any:
    device = jax.devices()[0]
    kinds = [memory.kind for memory in device.addressable_memories()]
    if "pinned_host" not in kinds:
        raise ValueError(f"storage.offloaded(): {device} has no memory 'pinned_host'; it has {', '.join(kinds)}")
    if not hasattr(jax, "memory"):
        raise ValueError(f"storage.offloaded(): JAX {jax.__version__} has no jax.memory.Space; use a newer JAX")
    return jax.memory.Space
