"""Functions that need not know how arrays are split over an Explicit mesh.

On such a mesh the type of an array says how it is split, and JAX wants to know that of every product, sort and reshape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

_GATHER_UP_TO = 2**24


def spec_of(x: Any) -> PartitionSpec:
    """How the type of an array says that it is split."""
    return _sharding(x).spec if _mesh(x) is not None else PartitionSpec()


def anywhere(function: Callable, specs: Callable[[], Any], *args: Any) -> Any:
    """`function(*args)`, with shardings that XLA chooses inside where an argument or the result is split.

    Args:
        function: a function of arrays.
        specs: how what it returns is split, a tree of specs; asked only on an Explicit mesh.
        *args: its arguments.
    """
    mesh = next((_mesh(x) for x in jax.tree.leaves(args) if _mesh(x) is not None), None)
    if mesh is None:
        return function(*args)
    wanted = specs()
    known = [*map(spec_of, jax.tree.leaves(args)), *jax.tree.leaves(wanted, is_leaf=_is_spec)]
    if all(entry is None for spec in known for entry in spec):
        return function(*args)
    with jax.sharding.use_abstract_mesh(mesh):  # also outside of jax.set_mesh
        return jax.sharding.auto_axes(function, out_sharding=wanted)(*args)


def gathered_once(x: jax.Array, sides: tuple[int, ...] = (-2, -1)) -> jax.Array:
    """A matrix, or several, with these sides whole on each device that has it; up to 16 million entries a matrix.

    What is computed of it may then be split in any way, and nothing more is sent for it. Without this, XLA on an Auto
    mesh splits the products, and sends their sums.
    """
    sharding = getattr(jax.typeof(x), "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or mesh.size == 1 or set(mesh.axis_types) != {AxisType.Auto}:
        return x
    if math.prod(x.shape[-2:]) > _GATHER_UP_TO:
        return x
    spec = [None if k - x.ndim in sides else PartitionSpec.UNCONSTRAINED for k in range(x.ndim)]
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*spec)))


def _sharding(x: Any) -> Any:
    return getattr(jax.typeof(x), "sharding", None) if isinstance(x, jax.Array) else None


def _mesh(x: Any) -> Any:
    """The mesh in the type of an array, if it has an Explicit axis."""
    sharding = _sharding(x)
    return sharding.mesh if sharding is not None and AxisType.Explicit in sharding.mesh.axis_types else None


def _is_spec(x: Any) -> bool:
    return isinstance(x, PartitionSpec)
