"""Which parameter a leaf of a state belongs to, and on which devices the leaf is placed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from gradtx.core.states import finishes_states
from gradtx.core.trees import flatten_with_paths, is_none, shape_of


def abstract(params: Any) -> Any:
    """The parameters as shapes and dtypes, without their shardings, which an init does not need."""

    def leaf(p: Any) -> Any:
        if getattr(p, "sharding", None) is None:
            return p
        return jax.ShapeDtypeStruct(p.shape, p.dtype, weak_type=getattr(p, "weak_type", False))

    return jax.tree.map(leaf, params)


class Mirror(NamedTuple):
    """A leaf of a state, its path, and the index of its parameter among the leaves of the parameters, or None.

    coded: "codes" or "scales" for a leaf of an encoded field, else "". partner: the other one of these two, or None.
    """

    path: tuple
    leaf: Any
    parameter: int | None
    coded: str = ""
    partner: Any = None


def owner_index(params: Any) -> Callable[[tuple], int | None]:
    """A function from a path to the index of the parameter whose path is its longest suffix; None leaves count too."""
    place = {tuple(path): k for k, (path, _) in enumerate(flatten_with_paths(params)[0])}
    return lambda path: next((place[path[start:]] for start in range(len(path) + 1) if path[start:] in place), None)


def holder_index(params: Any) -> Callable[[Mirror], int | None]:
    """A function from a leaf of a state to its parameter; for a leaf of a frame's basis, to the basis' parameter."""
    place = owner_index(params)
    return lambda row: place(row.path[:-1]) if row.parameter is None and row.leaf.shape else row.parameter


def mirrors(params: Any, state: Any) -> list[Mirror]:
    """For each leaf of a state its parameter: the one whose path is the longest suffix of the leaf's path.

    A scalar leaf belongs only to a scalar parameter, since a count may have the name of a parameter. If the parameters
    are a single array, its path is empty, which is a suffix of every path: it owns the leaves of its shape, and those
    with more axes in front.
    """
    entries, place = flatten_with_paths(params)[0], owner_index(params)

    def parameter(path: tuple, leaf: Any) -> int | None:
        k = place(path)
        if k is None:
            return None
        shape, own = shape_of(entries[k][1]), shape_of(leaf)
        alike = entries[k][0] or (is_behind(shape, own) and (shape or not own))
        return k if alike and (own or not shape) else None

    found = {tuple(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}
    return [Mirror(path, leaf, parameter(path, leaf), *_coded(path, found)) for path, leaf in found.items()]


def _coded(path: tuple, found: dict[tuple, Any]) -> tuple[str, Any]:
    """Of a leaf among the codes or the scales of a `Stored`: which of the two it is, and its partner."""
    own = next((k for k, key in enumerate(path) if getattr(key, "name", None) in ("codes", "scales")), None)
    if own is None:
        return "", None
    other = "scales" if path[own].name == "codes" else "codes"
    return path[own].name, found.get((*path[:own], jax.tree_util.GetAttrKey(other), *path[own + 1 :]))


def is_behind(shape: tuple[int, ...], longer: tuple[int, ...]) -> bool:
    """Whether the last axes of `longer` are those of `shape`."""
    return longer[len(longer) - len(shape) :] == shape if len(longer) >= len(shape) else False


def sharding_like(row: Mirror, parameter: Any, sharding: Any) -> Any:
    """The sharding of a parameter, for a leaf of its shape; more axes in front are not split. None for other shapes.

    The codes and scales of an encoded leaf are split as the leaf is, where a block lies on one device.
    """
    shape, whole = shape_of(row.leaf), shape_of(parameter)
    if row.coded and isinstance(sharding, NamedSharding):
        return resharded(sharding, _of_codes(row, parameter, sharding), len(shape))
    if not is_behind(whole, shape):
        return sharding if row.coded else None
    further = len(shape) - len(whole)
    if not further or not isinstance(sharding, NamedSharding):
        return sharding
    return resharded(sharding, (*[None] * further, *sharding.spec), len(shape))


def _of_codes(row: Mirror, parameter: Any, sharding: NamedSharding) -> tuple:
    """The entries of the spec for codes or scales: those with which XLA leaves them after an update."""
    own, whole = shape_of(row.leaf), shape_of(parameter)
    entries = (*sharding.spec, *[None] * (len(whole) - len(sharding.spec)))
    forms = [(whole, entries)]
    if jnp.iscomplexobj(parameter):  # the real and the imaginary part are stacked along a first axis of length 2
        forms.append(((2, *whole), (None, *entries)))
    for shape, spec in forms if row.partner is not None else ():
        both = (own, shape_of(row.partner))
        codes, scales = both if row.coded == "codes" else both[::-1]
        if len(shape) > 1 and jnp.issubdtype(row.leaf.dtype, jnp.floating):  # means of rows, and of columns
            ends = longest_axes(shape)
            if (scales, codes) == tuple(_without(shape, axis) for axis in ends):
                return _without(spec, ends[row.coded == "codes"])
        cut = len(scales) - 1
        if 0 <= cut < len(shape) and scales[:cut] == codes[:cut] == shape[:cut]:
            return _of_blocks(row, shape, spec, cut, scales[cut], sharding.mesh)
    shape, spec = next((form for form in forms if form[0] == own), forms[0])
    leading = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(own, shape, strict=False))
    return spec[: len(list(leading))]


def _of_blocks(row: Mirror, shape: tuple, spec: tuple, cut: int, count: int, mesh: Any) -> tuple:
    """The entries for blocks that are cut along the axis `cut`, into `count` of them, with all axes behind it."""
    own, lead, entry = shape_of(row.leaf), spec[:cut], spec[cut]
    if row.coded == "codes" and own == shape:
        size = parts(mesh, entry)
        even = shape[cut] % count == 0 and (count % size == 0 or size % count == 0)
        return (*lead, entry if even else None)
    if count > 1:  # by the first mesh axes of the entry that divide the number of blocks
        names = entry if isinstance(entry, tuple) else (entry,) if entry else ()
        fits = [names[:k] for k in range(len(names), 0, -1) if count % parts(mesh, names[:k]) == 0]
        longest = fits[0] if fits else ()
        return (*lead, longest if len(longest) > 1 else next(iter(longest), None))
    # A row is one block, and may lie on several devices: its scale is then on all of them.
    fits = row.coded == "codes" and len(own) > cut + 1 and own[cut + 1] % parts(mesh, entry) == 0
    return (*lead, None, entry) if fits else lead


def _without(items: tuple, axis: int) -> tuple:
    return (*items[:axis], *items[axis + 1 :])


def longest_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two longest axes, in order; the last ones of several that are as long."""
    first, second = sorted(sorted(range(len(shape)), key=lambda k: (shape[k], k))[-2:])
    return first, second


def resharded(sharding: NamedSharding, entries: tuple, rank: int) -> NamedSharding:
    """The sharding with other entries, on the same mesh and in the same kind of memory, for arrays of this rank.

    In the form in which JAX gives it to the results of a program; another form of the same one compiles twice.
    """
    entries = (*entries, *[None] * (rank - len(entries)))
    if not is_explicit(sharding.mesh):
        while entries and entries[-1] is None:
            entries = entries[:-1]
    return NamedSharding(sharding.mesh, PartitionSpec(*entries), memory_kind=sharding.memory_kind)


def replicated(sharding: Any, rank: int = 0) -> Any:
    """Replicated on every device of this sharding, in their default memory."""
    if not isinstance(sharding, NamedSharding):
        return sharding
    return resharded(NamedSharding(sharding.mesh, PartitionSpec()), (), rank)


def is_explicit(mesh: Any) -> bool:
    """Whether a mesh has axes with which the types of arrays say how they are split."""
    return AxisType.Explicit in mesh.axis_types


def split_spec(x: Any) -> tuple | None:
    """The entries, one for each axis, of an array that is split over an Explicit mesh; None for all others."""
    sharding = getattr(jax.typeof(x), "sharding", None) if isinstance(x, jax.Array) else None
    if sharding is None or not is_explicit(sharding.mesh) or all(entry is None for entry in sharding.spec):
        return None
    return (*sharding.spec, *[None] * (x.ndim - len(sharding.spec)))


def parts(mesh: Any, entry: Any) -> int:
    """Over how many devices of a mesh an entry of a spec splits an axis."""
    axes = () if entry is None else entry if isinstance(entry, tuple) else (entry,)
    return math.prod(mesh.shape[axis] for axis in axes)


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
        own = sharding_like(row, owner, owner.sharding) if _is_put(owner) else None
        return replicated(home, row.leaf.ndim) if own is None else own

    moved = [_move(row.leaf, where(row)) if _is_adrift(row.leaf) else row.leaf for row in mirrors(params, state)]
    return jax.tree.unflatten(jax.tree.structure(state), moved)


def move_codes(state: Any, params: Any) -> Any:
    """Move codes and scales that were made outside jit to the devices of their parameters; their memory kind stays."""
    owners = jax.tree.leaves(params, is_leaf=is_none)
    if not any(map(_is_put, owners)):
        return state

    def moved(row: Mirror) -> Any:
        owner: Any = None if row.parameter is None else owners[row.parameter]
        if not (_is_array(row.leaf) and _is_put(owner) and row.coded):
            return row.leaf
        own = sharding_like(row, owner, owner.sharding)
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
