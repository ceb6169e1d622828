"""Which parameter a leaf of a state belongs to, and on which devices the leaf is placed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from gradtx.core.states import finishes_states
from gradtx.core.trees import is_none, shape_of


def abstract(params: Any) -> Any:
    """The parameters as shapes and dtypes, without their shardings, which an init does not need."""

    def leaf(p: Any) -> Any:
        if getattr(p, "sharding", None) is None:
            return p
        return jax.ShapeDtypeStruct(p.shape, p.dtype, weak_type=getattr(p, "weak_type", False))

    return jax.tree.map(leaf, params)


class Mirror(NamedTuple):
    """A leaf of a state, its path, and the index of its parameter among the leaves of the parameters, or None."""

    path: tuple
    leaf: Any
    parameter: int | None


def owner_index(params: Any) -> Callable[[tuple], int | None]:
    """A function from a path to the index of the parameter whose path is its longest suffix; None leaves count too."""
    entries = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_none)[0]
    place = {tuple(path): k for k, (path, _) in enumerate(entries)}
    return lambda path: next((place[path[start:]] for start in range(len(path) + 1) if path[start:] in place), None)


def mirrors(params: Any, state: Any) -> list[Mirror]:
    """For each leaf of a state its parameter: the one whose path is the longest suffix of the leaf's path.

    A scalar leaf belongs only to a scalar parameter, since a count may have the name of a parameter. If the parameters
    are a single array, its path is empty, which is a suffix of every path: it owns the leaves of its shape, and those
    with more axes in front.
    """
    entries = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_none)[0]
    place = owner_index(params)

    def parameter(path: tuple, leaf: Any) -> int | None:
        k = place(path)
        if k is None:
            return None
        shape, own = shape_of(entries[k][1]), shape_of(leaf)
        if shape and not own:
            return None
        return k if entries[k][0] or (is_behind(shape, own) and (shape or not own)) else None

    found = jax.tree_util.tree_flatten_with_path(state)[0]
    return [Mirror(tuple(path), leaf, parameter(tuple(path), leaf)) for path, leaf in found]


def is_behind(shape: tuple[int, ...], longer: tuple[int, ...]) -> bool:
    """Whether the last axes of `longer` are those of `shape`."""
    return longer[len(longer) - len(shape) :] == shape if len(longer) >= len(shape) else False


def sharding_like(shape: tuple[int, ...], parameter: Any, sharding: Any, path: tuple = ()) -> Any:
    """The sharding of a parameter, for a leaf of its shape; more axes in front are not split. None for other shapes.

    The codes and scales of an encoded leaf, which the path tells, are split as far as their leading axes are those of
    the parameter.
    """
    if not is_behind(shape_of(parameter), shape):
        return _of_codes(shape, shape_of(parameter), sharding) if _is_coded(path) else None
    further = len(shape) - len(shape_of(parameter))
    if not further or not isinstance(sharding, NamedSharding):
        return sharding
    return resharded(sharding, PartitionSpec(*[None] * further, *sharding.spec))


def _is_coded(path: tuple) -> bool:
    """Whether this leaf belongs to the codes or the scales of a `Stored`."""
    return any(getattr(key, "name", None) in ("codes", "scales") for key in path)


def _of_codes(shape: tuple[int, ...], whole: tuple[int, ...], sharding: Any) -> Any:
    """Split the leading axes that the parameter has too, and the next one if its blocks can be divided."""
    if not isinstance(sharding, NamedSharding):
        return sharding
    # The real and the imaginary part of a complex leaf are stacked along a first axis of length 2.
    front = int(len(shape) > 1 and shape[0] == 2 != whole[0] and shape[1] == whole[0])
    entries = (*sharding.spec, *[None] * (len(whole) - len(sharding.spec)))
    spec: list[Any] = [None] * front
    for n, length, entry in zip(shape[front:], whole, entries, strict=False):
        axes = () if entry is None else entry if isinstance(entry, tuple) else (entry,)
        parts = math.prod(sharding.mesh.shape[axis] for axis in axes)
        spec.append(entry if n % parts == 0 and length % n == 0 else None)
        if n != length:
            break
    return resharded(sharding, PartitionSpec(*spec))


def resharded(sharding: NamedSharding, spec: PartitionSpec) -> NamedSharding:
    """The sharding with another spec, on the same mesh and in the same kind of memory."""
    return NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)


def replicated(sharding: Any) -> Any:
    """Replicated on every device of this sharding, in their default memory."""
    return NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else sharding


@finishes_states
def placed(state: Any, params: Any) -> Any:
    """Move a state that was made outside jit to the devices of the parameters, if the user placed these.

    Counts and other new arrays start on the default device. The first jitted step would move them, and the second would
    be compiled again. Under a trace, or if no parameter was placed, the state does not change.
    """
    owners = jax.tree.leaves(params, is_leaf=is_none)
    home = next((x.sharding for x in owners if _is_put(x)), None)
    if home is None or not any(map(_is_adrift, jax.tree.leaves(state))):
        return state

    def where(row: Mirror) -> Any:
        owner: Any = None if row.parameter is None else owners[row.parameter]
        own = sharding_like(row.leaf.shape, owner, owner.sharding, row.path) if _is_put(owner) else None
        return replicated(home) if own is None else own

    moved = [_move(row.leaf, where(row)) if _is_adrift(row.leaf) else row.leaf for row in mirrors(params, state)]
    return jax.tree.unflatten(jax.tree.structure(state), moved)


def move_codes(state: Any, params: Any) -> Any:
    """Move codes and scales that were made outside jit to the devices of their parameters; their memory kind stays."""
    owners = jax.tree.leaves(params, is_leaf=is_none)
    if not any(map(_is_put, owners)):
        return state

    def moved(row: Mirror) -> Any:
        owner: Any = None if row.parameter is None else owners[row.parameter]
        if not (_is_array(row.leaf) and _is_put(owner) and _is_coded(row.path)):
            return row.leaf
        own = sharding_like(row.leaf.shape, owner, owner.sharding, row.path)
        return _move(row.leaf, own.with_memory_kind(row.leaf.sharding.memory_kind))

    return jax.tree.unflatten(jax.tree.structure(state), [moved(row) for row in mirrors(params, state)])


def _is_put(x: Any) -> bool:
    """Whether this is an array that the user has placed, on a mesh or on one device."""
    return _is_array(x) and x.committed and isinstance(x.sharding, NamedSharding | SingleDeviceSharding)


def _is_adrift(x: Any) -> bool:
    return _is_array(x) and not x.committed


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, Tracer)


def _move(x: jax.Array, sharding: Any) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    return jax.jit(_same, out_shardings=sharding)(x)  # device_put communicates between processes, and cannot move keys


def _same(x: jax.Array) -> jax.Array:
    return x
