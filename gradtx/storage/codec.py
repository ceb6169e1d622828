"""What a codec is, and those that keep an array as it is or as one of a shorter type."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from gradtx.core.errors import describe
from gradtx.core.leaves import float_dtype
from gradtx.storage.bits import rounded_stochastically

Bits = Callable[[tuple[int, ...]], jax.Array]
"""Random bits of a shape, uint32: the same for the same step and leaf, and on any mesh."""


@runtime_checkable
class Codec(Protocol):
    """How arrays of a state are kept between steps. Write a frozen dataclass: it must compare, hash and pickle.

    Arrays are real, float32 or float64, with at least one axis and one entry. Of a complex leaf the real and the
    imaginary part come as one array, along a new first axis.
    """

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Whether it encodes such an array in the role "signed" or "nonnegative"; others stay as they are."""
        ...

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, jax.Array | None]:
        """The codes and scales of an array. Their shapes follow from its shape; they should share its leading axes."""
        ...

    def decode(self, role: str, codes: jax.Array, scales: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array again; scales are None where encode gave none.

        `leaf` has its shape, and its width as far as it is known: that of the gradient.
        """
        ...


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def without_derivative(codec: Codec, x: jax.Array) -> jax.Array:
    """x, of which no derivative may be taken: that of codes is zero, and a slope through them would be wrong."""
    return x


@functools.partial(without_derivative.defjvp, symbolic_zeros=True)
def _(codec: Codec, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    if not isinstance(tangents[0], SymbolicZero):
        raise TypeError(
            f"a state that {codec!r} has encoded has no derivative: take it through the transformation without store, "
            f"or with float32()"
        )
    return primals[0], tangents[0]


def require_codec(**codecs: Any) -> None:
    """Raise TypeError unless each value is a codec; the class of one is none."""
    for name, codec in codecs.items():
        if isinstance(codec, type) or not isinstance(codec, Codec):
            called = f": call it, {codec.__name__}()" if callable(codec) and hasattr(codec, "__name__") else ""
            raise TypeError(f"{name} must be one of gradtx.storage, as int8(); got {describe(codec)}{called}")


class CallRepr:
    """Prints as the call of the lower-case function that makes it."""

    def __repr__(self) -> str:
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))  # pyright: ignore[reportArgumentType]
        return f"{type(self).__name__.lower()}({', '.join(f'{name}={value!r}' for name, value in fields)})"


@dataclasses.dataclass(frozen=True, repr=False)
class Float32(CallRepr):
    """See `float32`."""

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """No array: all stay as they are."""
        return False

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """The array."""
        return x, None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array."""
        return codes


@dataclasses.dataclass(frozen=True, repr=False)
class BFloat16(CallRepr):
    """See `bfloat16`."""

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array."""
        return True

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """Its upper half, rounded up or down by chance."""
        x, tiny = without_derivative(self, x), jnp.asarray(jnp.finfo(jnp.float32).tiny, x.dtype)
        if role == "nonnegative" and x.dtype.itemsize == 8:
            x = jnp.where(x > 0, jnp.maximum(x, tiny), x)
        return rounded_stochastically(x, jnp.bfloat16, bits(x.shape)), None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The same numbers, at the width of the gradient."""
        # By its bits: XLA's cast takes longer on CPU.
        upper = jax.lax.bitcast_convert_type(codes, jnp.uint16).astype(jnp.uint32) << jnp.uint32(16)
        return jax.lax.bitcast_convert_type(upper, jnp.float32).astype(float_dtype(leaf))


@dataclasses.dataclass(frozen=True, repr=False)
class Offloaded(CallRepr):
    """See `offloaded`."""

    def supports(self, role: str, leaf: jax.ShapeDtypeStruct) -> bool:
        """Every array, where there is such memory.

        Raises: ValueError: there is none.
        """
        _space()
        return True

    def encode(self, role: str, x: jax.Array, bits: Bits) -> tuple[jax.Array, None]:
        """The bits of the array in the memory of the host."""
        # As integers: JAX 0.10 matches donated buffers by shape and type, and one of the host with an update on the
        # device aborts the process.
        x, word = without_derivative(self, x), jnp.uint64 if x.dtype.itemsize == 8 else jnp.uint32
        return jax.device_put(jax.lax.bitcast_convert_type(x, word), _space().Host), None

    def decode(self, role: str, codes: jax.Array, scales: None, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        """The array in the memory of the device."""
        width = jnp.float64 if codes.dtype.itemsize == 8 else jnp.float32
        return jax.lax.bitcast_convert_type(jax.device_put(codes, _space().Device), width)


def float32() -> Codec:
    """Keep a state as it is made: float32, or float64 where parameters are.

    Example:
        >>> import gradtx
        >>> gradtx.storage.float32()
        float32()
    """
    return Float32()


def bfloat16() -> Codec:
    """Keep a state in bfloat16, 2 bytes a number, rounded up or down by chance, so that its mean is right.

    Rounded to the nearest, a second moment with b2 = 0.999 stays at half of its value: steps of a thousandth are lost.
    Nothing is rounded to infinity, and nothing positive to zero.

    Example:
        >>> import gradtx
        >>> gradtx.storage.bfloat16()
        bfloat16()
    """
    return BFloat16()


def offloaded() -> Codec:
    """Keep a state in the memory of the host between steps, all its digits: a step moves it to the device and back.

    Under jit JAX wants a program whose state goes in and comes out there; `tx.init(params)` puts it there.

    Raises: ValueError, when a state is made: the device has no memory of that kind, or this JAX cannot move into it.

    Example:
        >>> import gradtx
        >>> gradtx.storage.offloaded()
        offloaded()
    """
    return Offloaded()


def _space() -> Any:
    device = jax.devices()[0]
    kinds = [memory.kind for memory in device.addressable_memories()]
    if "pinned_host" not in kinds:
        raise ValueError(f"offloaded(): {device} has no memory of the kind 'pinned_host'; it has {', '.join(kinds)}")
    if not hasattr(jax, "memory"):
        raise ValueError(f"offloaded(): JAX {jax.__version__} has no jax.memory.Space; a newer one is needed")
    return jax.memory.Space
