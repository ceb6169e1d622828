"""Frames on single leaves, under jit, on meshes too: traced once for each shape.

On an Explicit mesh the functions of a frame run with shardings that XLA chooses. Only what comes out has one that is
said here.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.sharding import PartitionSpec

from gradtx.frames.frame import Frame, Leaf
from gradtx.meshes import anywhere, spec_of


@functools.partial(jax.jit, static_argnums=0, inline=True)  # at module level, so that each shape is traced once
def into_leaf(frame: Frame, basis: Any, x: jax.Array) -> jax.Array:
    """A leaf in the coordinates of the frame; axes at the end that it leaves as they are stay split."""
    return anywhere(frame.into, lambda: _kept(frame, basis, x), basis, x)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def begin_leaf(frame: Frame, basis: Any, x: jax.Array) -> jax.Array:
    """A parameter in the first coordinates of the frame."""
    return anywhere(frame.begin, lambda: _kept(frame, basis, x), basis, x)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def out_leaf(frame: Frame, leaf: Leaf, spec: Any, basis: Any, y: jax.Array) -> jax.Array:
    """The transpose of `into_leaf`, for leaves of this shape, split as `spec` says."""
    return anywhere(lambda basis, y: frame.out(basis, y, leaf), lambda: spec or PartitionSpec(), basis, y)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def learn_leaf(frame: Frame, basis: Any, g: jax.Array) -> Any:
    """The basis of a leaf after an update."""
    return anywhere(frame.learn, lambda: jax.tree.map(spec_of, basis), basis, g)


@functools.partial(jax.jit, static_argnums=0, inline=True)
def refresh_leaf(frame: Frame, basis: Any, g: jax.Array, first: jax.Array) -> Any:
    """The new basis of a leaf."""
    return anywhere(frame.refresh, lambda: jax.tree.map(spec_of, basis), basis, g, first)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def carry_leaf(frame: Frame, leaf: Leaf, role: str, y: jax.Array, old: Any, new: Any) -> jax.Array:
    """A field of a leaf in a new basis, in the type that it had."""

    def carry(y: jax.Array, old: Any, new: Any) -> jax.Array:
        return frame.carry(role, y, old, new, leaf).astype(y.dtype)

    return anywhere(carry, lambda: spec_of(y), y, old, new)


def _kept(frame: Frame, basis: Any, x: jax.Array) -> PartitionSpec:
    """The spec of a leaf in the frame: that of its last axes, as far as they have the same length there."""
    inside, spec = shape_inside(frame, basis, x).shape, (*spec_of(x), *[None] * (x.ndim - len(spec_of(x))))
    out: list[Any] = [None] * len(inside)
    for k in range(1, min(len(inside), x.ndim) + 1):
        if inside[-k] != x.shape[-k] and len(inside) != x.ndim:
            break
        out[-k] = spec[-k] if inside[-k] == x.shape[-k] else None
    return PartitionSpec(*out)


def shape_inside(frame: Frame, basis: Any, x: Any) -> jax.ShapeDtypeStruct:
    """The shape and type of a leaf in the frame."""
    bare = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (basis, x))
    return jax.eval_shape(frame.into, *bare)
