"""Moves of parts of arrays between the devices of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.transforms.split import device_count, varying


def on_parts(function: Callable, mesh: Any, specs: tuple, out: Any) -> Callable:
    """A function of the parts that the devices of a mesh hold, as one of the arrays."""

    def called(*xs: jax.Array) -> Any:
        with jax.sharding.use_abstract_mesh(mesh):  # also outside of jax.set_mesh
            # Whether a result is the same on all devices, JAX cannot know after a gathering.
            return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)(*xs)

    return called


def padded(x: jax.Array, missing: int) -> jax.Array:
    """A stack with so many matrices of zeros behind it."""
    return jnp.pad(x, ((0, missing), (0, 0), (0, 0))) if missing else x


def turned(x: jax.Array, names: tuple[str, ...], split: int, axis: int) -> jax.Array:
    """What is whole along one axis of the array is split, and what is split along the other one is whole."""
    return jax.lax.all_to_all(x, names, split, axis, tiled=True) if names else x


def gathered(x: jax.Array, names: tuple[str, ...], axis: int) -> jax.Array:
    """The whole array, of its parts along one axis."""
    return jax.lax.all_gather(x, names, axis=axis, tiled=True) if names else x


def own_part(x: jax.Array, names: tuple[str, ...], axis: int) -> jax.Array:
    """The part of a whole array that belongs to this device."""
    if not names:
        return x
    size = x.shape[axis] // count_of(names)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(names) * size, size, axis)


def joined(x: jax.Array, names: tuple[str, ...]) -> jax.Array:
    """The shares of all devices, one after the other."""
    if not names or not varying(x) & set(names):
        return gathered(x, names, 0)
    # JAX checks what is the same on all devices. It knows so of a sum, not of a gathering.
    places = jnp.zeros((len(x) * count_of(names), *x.shape[1:]), x.dtype)
    start = jax.lax.axis_index(names) * len(x)
    return jax.lax.psum(jax.lax.dynamic_update_slice_in_dim(places, x, start, 0), names)


def count_of(names: tuple[str, ...]) -> int:
    """The number of devices along these axes; 1 for none."""
    return device_count(names) if names else 1


def are_mapped(names: tuple[str, ...]) -> bool:
    """Whether these axes are those of a `shard_map` or `vmap` around."""
    try:
        return bool(device_count(names))
    except NameError:
        return False
