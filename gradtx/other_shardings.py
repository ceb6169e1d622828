"""Shardings for leaves of a state whose shapes differ from their parameters."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def factored_sharding(
    path: str, leaf: jax.ShapeDtypeStruct, parameter: jax.ShapeDtypeStruct | None
) -> PartitionSpec | None:
    """Shard a leaf that has some axes of its parameter, in the same order, as these axes are; give it as `others=`.

    It is for `state_shardings` and `zero_shardings`. The row and column statistics of Adafactor are such leaves. If the
    lengths fit several choices of axes (a square matrix) that are split differently, the leaf is replicated.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mesh, rows = jax.sharding.AbstractMesh((4,), ("x",)), PartitionSpec("x", None)
        >>> sharding = NamedSharding(mesh, rows)
        >>> w = jax.ShapeDtypeStruct((8, 2), jnp.float32, sharding=sharding)
        >>> factored_sharding("v_row/w", jax.ShapeDtypeStruct((8,), jnp.float32), w)
        P('x',)
    """
    sharding = getattr(parameter, "sharding", None)
    if parameter is None or not leaf.shape or not isinstance(sharding, NamedSharding):
        return None
    names, shape = padded_spec(sharding.spec, len(parameter.shape)), parameter.shape
    if len(leaf.shape) == len(shape) and all(n in (1, of) for n, of in zip(leaf.shape, shape, strict=True)):
        return PartitionSpec(*(name if n == of else None for n, of, name in zip(leaf.shape, shape, names, strict=True)))
    kept = itertools.combinations(range(len(shape)), len(leaf.shape))
    found = {tuple(names[i] for i in axes) for axes in kept if tuple(shape[i] for i in axes) == leaf.shape}
    return PartitionSpec(*found.pop()) if len(found) == 1 else None


def owner_sharding(
    path: str, leaf: jax.ShapeDtypeStruct, parameter: jax.ShapeDtypeStruct | None
) -> PartitionSpec | None:
    """Share out statistics and bases of matrices among the devices that share the matrices; give it as `others=`.

    Such a leaf is m × k or n × k for a parameter m × n, with the same axes in front. The axes in front, such as that of
    scanned layers, are split first: then each device has whole matrices, and decomposes its own alone. Otherwise the
    first side is split, and is gathered where it is used: memory falls, but each step gathers both bases or roots, m² +
    n² numbers for a matrix m × n, and one with new ones also the statistics (PSGD has none, Shampoo the old roots too),
    each once; on an Explicit mesh SOAP and Conda gather the old bases again. Of many matrices of one shape, make one
    stack, which goes to its owners and back.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> mesh, rows = jax.sharding.AbstractMesh((4,), ("x",)), PartitionSpec(None, "x")
        >>> layers = jax.ShapeDtypeStruct((12, 8, 2), jnp.float32, sharding=NamedSharding(mesh, rows))
        >>> owner_sharding("basis/w/rows", jax.ShapeDtypeStruct((12, 8, 8), jnp.float32), layers)
        P('x', None, None)
    """
    sharding = getattr(parameter, "sharding", None)
    if (
        parameter is None
        or not isinstance(sharding, NamedSharding)
        or len(leaf.shape) != len(parameter.shape)
        or len(leaf.shape) < 2
        or leaf.shape[:-2] != parameter.shape[:-2]
        or leaf.shape[-2] not in (1, *parameter.shape[-2:])
    ):
        return None
    entries = (entry if isinstance(entry, tuple) else (entry,) for entry in sharding.spec)
    names = tuple(name for entry in entries for name in entry if name is not None)
    count = math.prod(sharding.mesh.shape[name] for name in names)
    places = [k for k, n in enumerate(leaf.shape[:-1]) if n and n % count == 0]
    if not names or not places:
        return None
    entry: Any = names[0] if len(names) == 1 else names
    return PartitionSpec(*(entry if k == places[0] else None for k in range(len(leaf.shape))))


def padded_spec(spec: Any, rank: int) -> tuple:
    """The entries of a spec, one for each axis."""
    return (*spec, *[None] * (rank - len(spec)))
