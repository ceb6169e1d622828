"""Where a state belongs: which parameter a leaf of it mirrors, and on which devices it lies."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from gradtx.core.trees import is_none, shape_of


def abstract(params: Any) -> Any:
    """The parameters as shapes and types, without their shardings, of which an init need not know."""

    def leaf(p: Any) -> Any:
        if getattr(p, "sharding", None) is None:
            return p
        return jax.ShapeDtypeStruct(p.shape, p.dtype, weak_type=getattr(p, "weak_type", False))

    return jax.tree.map(leaf, params)


class Mirror(NamedTuple):
    """A leaf of a state, its path, and the place of its parameter among the leaves of the parameters, or None."""

    path: tuple
    leaf: Any
    parameter: int | None


def mirrors(params: Any, state: Any) -> list[Mirror]:
    """For each leaf of a state its parameter: the one whose path is the longest end of the leaf's own path.

    A scalar belongs to a scalar only: a count may be called as a parameter is. A parameter that is a tree by itself has
    the empty path, which ends every path: it owns the leaves of its shape, and those with further axes in front of it.
    """
    entries = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_none)[0]
    place = {tuple(path): k for k, (path, _) in enumerate(entries)}

    def parameter(path: tuple, leaf: Any) -> int | None:
        k = next((place[path[start:]] for start in range(len(path) + 1) if path[start:] in place), None)
        if k is None:
            return None
        shape, own = shape_of(entries[k][1]), shape_of(leaf)
        if shape and not own:
            return None
        return k if entries[k][0] or (is_behind(shape, own) and (shape or not own)) else None

    found = jax.tree_util.tree_flatten_with_path(state)[0]
    return [Mirror(tuple(path), leaf, parameter(tuple(path), leaf)) for path, leaf in found]


def is_behind(shape: tuple[int, ...], longer: tuple[int, ...]) -> bool:
    """Whether the last axes of `longer` are those of `shape`; all of them, where both have as many."""
    return longer[len(longer) - len(shape) :] == shape if len(longer) >= len(shape) else False


def alike(shape: tuple[int, ...], parameter: Any, sharding: Any) -> Any:
    """The sharding of a parameter for a leaf of its shape; axes in front of it stay whole. None for other shapes."""
    if not is_behind(shape_of(parameter), shape):
        return None
    further = len(shape) - len(shape_of(parameter))
    if not further or not isinstance(sharding, NamedSharding):
        return sharding
    return resharded(sharding, PartitionSpec(*[None] * further, *sharding.spec))


def resharded(sharding: NamedSharding, spec: PartitionSpec) -> NamedSharding:
    """The sharding with another spec: on the same mesh, in the same kind of memory."""
    return NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)


def everywhere(sharding: Any) -> Any:
    """Whole on every device of this sharding, in their usual memory."""
    return NamedSharding(sharding.mesh, PartitionSpec()) if isinstance(sharding, NamedSharding) else sharding


def placed(state: Any, params: Any) -> Any:
    """A state made outside jit, of parameters that lie on devices of the user's choice: moved to these devices.

    Counts and whatever else is made from nothing begin on the default device; a jitted step would move them, and then
    be compiled a second time. Under a trace, and where no parameter was put anywhere, the state is as it was.
    """
    owners = jax.tree.leaves(params, is_leaf=is_none)
    home = next((x.sharding for x in owners if _is_put(x)), None)
    if home is None or not any(map(_is_adrift, jax.tree.leaves(state))):
        return state

    def where(row: Mirror) -> Any:
        owner: Any = None if row.parameter is None else owners[row.parameter]
        own = alike(row.leaf.shape, owner, owner.sharding) if _is_put(owner) else None
        return everywhere(home) if own is None else own

    moved = [_move(row.leaf, where(row)) if _is_adrift(row.leaf) else row.leaf for row in mirrors(params, state)]
    return jax.tree.unflatten(jax.tree.structure(state), moved)


def _is_put(x: Any) -> bool:
    """Whether this is an array that the user has put where it lies, on a mesh or on one device."""
    return _is_array(x) and x.committed and isinstance(x.sharding, NamedSharding | SingleDeviceSharding)


def _is_adrift(x: Any) -> bool:
    return _is_array(x) and not x.committed


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, Tracer)


def _move(x: jax.Array, sharding: Any) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    return jax.jit(_same, out_shardings=sharding)(x)  # device_put asks the other processes, and moves no keys


def _same(x: jax.Array) -> jax.Array:
    return x
