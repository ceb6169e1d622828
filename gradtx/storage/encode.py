"""Encoding and decoding the leaves of a field."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import clip_and_square
from gradtx.core.trees import flatten, is_none, is_trained, path_name, shape_of
from gradtx.errors import describe
from gradtx.placement import split_spec
from gradtx.storage.bits import hashed_bits
from gradtx.storage.codec import Codec
from gradtx.storage.fields import Stored


def supports(codec: Codec, role: str, x: Any) -> bool:
    """Whether a codec encodes this leaf. A complex leaf is encoded as two parts, but never as a divisor."""
    role = _encoded_as(role)
    if jnp.iscomplexobj(x):
        return role != "nonnegative" and codec.supports(role, jax.ShapeDtypeStruct((2, *x.shape), x.real.dtype))
    return codec.supports(role, jax.ShapeDtypeStruct(x.shape, x.dtype))


def _encoded_as(role: str) -> str:
    """The role as codecs know it."""
    return "nonnegative" if role == "magnitude" else role


def _parts(x: jax.Array) -> jax.Array:
    """A complex array as its real and its imaginary part, one after the other."""
    return jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def stored(tree: Any, coded: Callable[[tuple, Any], Any]) -> Stored:
    """The tree as a `Stored`: `coded(path, leaf)` gives the codes and scales of a leaf, or None to keep it exact."""
    entries, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)
    made = [coded(path, x) for path, x in entries]
    columns = (
        [x if both is None else None for (_, x), both in zip(entries, made, strict=True)],
        [None if both is None else both[0] for both in made],
        [None if both is None else both[1] for both in made],
    )
    return Stored(*(jax.tree.unflatten(structure, column) for column in columns))


def decoded_field(codec: Codec, role: str, path: tuple, kept: Stored, owner: Callable[[tuple], Any]) -> Any:
    """Decode a field; each leaf gets the shape of its gradient."""
    entries, structure = jax.tree_util.tree_flatten_with_path(kept.exact, is_leaf=is_none)
    out = []
    for (end, exact), codes, scales in zip(entries, flatten(kept.codes)[0], flatten(kept.scales)[0], strict=True):
        if codes is None:
            out.append(exact)
            continue
        gradient = owner((*path, *end))
        shapes = [x for x in _shapes(gradient) if _fits(codec, role, x, codes, scales)]
        if not shapes:
            what = f"has shape {shape_of(gradient)}" if is_trained(gradient) else f"is {describe(gradient)}"
            of = f"codes of shape {codes.shape}, {codes.dtype}"
            raise ValueError(f"gradient at {path_name(end)} {what}; the state has {of}, which {codec} does not make")
        out.append(_decode(codec, role, codes, scales, *shapes[0]))
    return jax.tree.unflatten(structure, out)


def _shapes(gradient: Any) -> list[tuple[tuple[int, ...], Any, bool]]:
    """The possible forms of a leaf of this gradient: (shape, width, whether it is two parts of a complex leaf)."""
    if not is_trained(gradient):
        return []
    shape, width = shape_of(gradient), float_dtype(gradient)
    return [(shape, width, False)] + [((2, *shape), width, True)] * bool(jnp.iscomplexobj(gradient))


def _fits(codec: Codec, role: str, like: tuple, codes: Any, scales: Any) -> bool:
    """Whether an array of this form, of either width, has these codes and scales."""
    widths = (like[1], jnp.float32, *([jnp.float64] if jax.config.read("jax_enable_x64") else []))
    made = [_promised(codec, role, like[0], jnp.dtype(width)) for width in widths]
    return ((shape_of(codes), codes.dtype), scales if scales is None else shape_of(scales)) in made


@functools.lru_cache(maxsize=4096)
def _promised(codec: Codec, role: str, shape: tuple[int, ...], dtype: Any) -> tuple:
    number = jax.ShapeDtypeStruct((), jnp.uint32)
    codes, scales = jax.eval_shape(functools.partial(encode, codec, role), jax.ShapeDtypeStruct(shape, dtype), number)
    return (codes.shape, codes.dtype), scales if scales is None else scales.shape


def encoded(codec: Codec, role: str, path: tuple, x: jax.Array, number: jax.Array) -> tuple[jax.Array, Any]:
    """As `encode`, for the leaf at a path.

    Raises: ValueError: the leaf is split over an Explicit mesh in a way that cuts its blocks.
    """
    try:
        return encode(codec, role, x, number)
    except Exception as error:
        spec = split_spec(x)
        if spec is None or type(error).__name__ != "ShardingTypeError":  # JAX has no public name for it
            raise
        raise ValueError(
            f"store: {codec} cannot encode {path_name(path)} of shape {x.shape}, split as {PartitionSpec(*spec)} over "
            f"an Explicit mesh: some of its blocks lie on several devices. Use an Auto mesh, bfloat16(), or a `block` "
            f"that divides the part of a row on one device; min_size keeps small leaves exact"
        ) from error


@functools.partial(jax.jit, static_argnums=(0, 1))
def encode(codec: Codec, role: str, x: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    """The codes and scales of a leaf, rounded with the random bits of `number`; traced once for each shape."""
    if role == "magnitude":
        # As its square: the levels of codecs suit squares, whose root divides signed numbers.
        tiny = jnp.asarray(jnp.finfo(x.dtype).tiny, x.dtype)
        x = jnp.where(x == 0, x, jnp.maximum(clip_and_square(x)[1], tiny))
    return codec.encode(_encoded_as(role), _parts(x), functools.partial(hashed_bits, number))


@functools.partial(jax.jit, static_argnums=(0, 1, 4, 5, 6))
def _decode(codec: Codec, role: str, codes: Any, scales: Any, shape: tuple, width: Any, parts: bool) -> jax.Array:
    x = codec.decode(_encoded_as(role), codes, scales, jax.ShapeDtypeStruct(shape, width))
    x = jnp.sqrt(x) if role == "magnitude" else x
    return jax.lax.complex(x[0], x[1]) if parts else x


def seed(count: Any, salt: Iterator[int]) -> jax.Array:
    """A seed for the random bits: another one for every leaf and step."""
    return count + np.uint32(next(salt) * 0x85EBCA6B % 2**32)
