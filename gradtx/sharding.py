"""Shardings for the state: like the parameters, or split over the devices that hold copies of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, leaf_names, path_name, require_arrays, shape_of
from gradtx.errors import describe, suggestion
from gradtx.other_shardings import padded_spec
from gradtx.placement import abstract, holder_index, mirrors, replicated, resharded, sharding_like

Others = Callable[[str, jax.ShapeDtypeStruct, "jax.ShapeDtypeStruct | None"], "Sharding | PartitionSpec | None"]
"""`(path, leaf, parameter) -> sharding`, for leaves of a state whose shape differs from that of their parameter."""


def state_shardings(tx: Any, params: Any, *, others: Others | None = None) -> Any:
    """Return shardings that place each leaf of a state like its parameter, for `jax.jit(tx.init, out_shardings=...)`.

    A leaf belongs to the parameter whose path is the longest suffix of the leaf's path. If the leaf has the shape of
    that parameter, it gets the parameter's sharding. It may have more axes in front, as the memory of L-BFGS has; these
    are not split. Every other leaf is replicated, unless `others` says otherwise. Nothing is computed or allocated.

    `tx.init(params)` already places the state so. Under a plain `jax.jit`, so does everything that is made with `zeros`
    or `full`. State that is made in another way, as in other libraries, lands on one device, and on an Explicit mesh
    JAX raises an error; these shardings prevent both.

    Args:
        tx: a transformation of gradtx or optax, or a bare pair.
        params: arrays, or `jax.ShapeDtypeStruct`s with shardings; the mesh may be abstract. A parameter that was not
            placed on a device explicitly counts as replicated.
        others: a function `(path, leaf, parameter)` for leaves whose shape differs from their parameter's. The path is
            a string such as `a/b/0`. The leaf and its parameter are `jax.ShapeDtypeStruct`s; the parameter has its
            sharding, and is None for a leaf without one. A field of the basis of a frame comes with the parameter that
            the basis is for. The function returns a sharding, a `PartitionSpec`, or None for replicated.
            `factored_sharding` and `owner_sharding` are such functions.

    Returns:
        A tree of shardings with the structure of the state.

    Raises:
        TypeError: `tx` is not a transformation; `others` returned something else; a sharding has an unknown type.
        ValueError: no parameter has a sharding; parameters are on different devices; a leaf cannot be split this way.

    Source: optax's `tree_map_params`, used for this, gives the rows of Adafactor the sharding of a matrix, and fails
        on L-BFGS and SM3.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> params = {"w": jnp.ones((8, 4))}
        >>> tx = gradtx.adam(1e-3)
        >>> state = jax.jit(tx.init, out_shardings=state_shardings(tx, params))(params)
        >>> state["scale_by_adam"].mu["w"].sharding == params["w"].sharding
        True
    """
    return like_parameters(params, lambda: _state(tx, params), others)


def like_parameters(params: Any, state: Callable[[], Any], others: Others | None = None) -> Any:
    """`state_shardings` for a state of shapes and dtypes, which is asked for once the parameters are right."""
    own = _own_shardings(params)
    arrays = [x.sharding for x in jax.tree.leaves(params) if isinstance(x, jax.Array) and not isinstance(x, Tracer)]
    home = next((s for s in (*own, *arrays) if s is not None), None)
    if home is None:
        raise ValueError(
            "no parameter has a sharding: give arrays, or jax.ShapeDtypeStruct(shape, dtype, sharding=...), "
            "or call zero_shardings, which takes the mesh as an argument"
        )
    return _of_state(state(), params, [replicated(home) if s is None else s for s in own], replicated(home), others)


def zero_shardings(
    tx: Any, params: Any, mesh: Any, axis: str | tuple[str, ...], *, others: Others | None = None
) -> Any:
    """Return shardings that split the state over the devices that hold copies of the parameters (ZeRO-1).

    The result is that of `state_shardings`, but a leaf like a parameter is also split over the mesh axis `axis`. It is
    split along the largest dimension that is not split yet and whose length is a multiple of the number of devices. A
    leaf without such a dimension, or already split over `axis`, stays as it is. `gradtx.plan(tx, params, shardings)`
    shows the bytes on each device, and the leaves that are not split.

        shardings = zero_shardings(tx, params, mesh, "data")
        state = jax.jit(tx.init, out_shardings=shardings)(params)
        step = jax.jit(step, out_shardings=(param_shardings, shardings))

    Each device then updates its part of the state, and the updates or the new parameters are gathered once, because
    `out_shardings` of the step asks for whole parameters.

    Args:
        tx, params, others: as in `state_shardings`; parameters without a sharding count as replicated.
        mesh: a `jax.sharding.Mesh`, or an `AbstractMesh` to compute sizes without devices.
        axis: the name, or a tuple of names, of the mesh axes over which the batch is split.

    Returns:
        A tree of shardings with the structure of the state.

    Raises:
        TypeError, ValueError: as `state_shardings`.
        ValueError: the mesh has no axis of this name; parameters are on another mesh.

    Source: Rajbhandari, Rasley, Ruwase & He 2020, ZeRO, stage 1, section 5.1. There the parameters are one flat vector;
        here each leaf is split along one of its dimensions.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> mesh = jax.sharding.AbstractMesh((256,), ("data",))
        >>> params = {"w": jax.ShapeDtypeStruct((512, 1024), jnp.float32)}
        >>> zero_shardings(gradtx.adam(1e-3), params, mesh, "data")["scale_by_adam"].mu["w"].shard_shape((512, 1024))
        (512, 4)
    """
    axes = axis if isinstance(axis, tuple) else (axis,)
    for name in axes:
        if name not in mesh.axis_names:
            near = suggestion(name, mesh.axis_names) if isinstance(name, str) else ""
            raise ValueError(f"axis: the mesh has no axis {name!r}{near}; it has {', '.join(mesh.axis_names)}")
    whole = NamedSharding(mesh, PartitionSpec())
    like = []
    for name, leaf, own in zip(leaf_names(params), flatten(params)[0], _own_shardings(params), strict=True):
        if own is not None and (not isinstance(own, NamedSharding) or own.mesh != mesh):
            where = own.mesh if isinstance(own, NamedSharding) else own
            raise ValueError(f"parameter at {name} is on {where}, not on the mesh {mesh}: move it with jax.device_put")
        like.append(_split(shape_of(leaf), whole if own is None else own, axes))
    return _of_state(_state(tx, params), params, like, whole, others)


def _state(tx: Any, params: Any) -> Any:
    return jax.eval_shape(as_transformation("tx", tx).init, abstract(params))


def _of_state(state: Any, params: Any, like: list, whole: Any, others: Others | None) -> Any:
    """The tree of shardings; `like` holds, for each parameter, the sharding of leaves of its shape."""
    owners, out, holder = flatten(params)[0], [], holder_index(params)
    for row in mirrors(params, state):
        leaf, k = row.leaf, row.parameter
        name, sharding = path_name(row.path), None if k is None else sharding_like(row, owners[k], like[k])
        if sharding is None and others is not None:
            k = holder(row)
            owner = None if k is None else _shape_with(owners[k], like[k])
            sharding = _answer(name, others(name, leaf, owner), whole)
        sharding = replicated(whole, len(leaf.shape)) if sharding is None else sharding
        out.append(_fitting(name, leaf.shape, sharding))
    return jax.tree.unflatten(jax.tree.structure(state), out)


def _own_shardings(params: Any) -> list:
    """The sharding of each parameter, None for one that was not placed; all must have the same devices."""
    require_arrays("parameter", params)
    out, first = [], None
    for name, leaf in zip(leaf_names(params), flatten(params)[0], strict=True):
        own = getattr(leaf, "sharding", None)
        if own is None or not getattr(leaf, "committed", True):
            out.append(None)
            continue
        if not isinstance(own, NamedSharding | SingleDeviceSharding):
            kind = type(own).__name__
            raise TypeError(
                f"parameter at {name} has a {kind}; expected a NamedSharding, which jax.device_put gives it"
            )
        first = first or (name, own)
        if _devices(own) != _devices(first[1]):
            raise ValueError(f"parameters at {first[0]} and {name} are on different devices: {first[1]}, {own}")
        out.append(own)
    return out


def _devices(sharding: Any) -> Any:
    if isinstance(sharding, SingleDeviceSharding):
        return tuple(sharding.device_set)
    mesh = sharding.mesh
    return tuple(mesh.devices.flat) if isinstance(mesh, Mesh) else mesh


def _split(shape: tuple[int, ...], sharding: NamedSharding, axes: tuple[str, ...]) -> NamedSharding:
    """The sharding, also split over `axes`, along the largest dimension where that is possible."""
    names, count = padded_spec(sharding.spec, len(shape)), math.prod(sharding.mesh.shape[a] for a in axes)
    taken = {name for entry in names for name in (entry if isinstance(entry, tuple) else (entry,))}
    free = [i for i, n in enumerate(shape) if names[i] in (None, ()) and n and n % count == 0]
    if not free or taken & set(axes):
        return sharding
    longest = max(free, key=lambda i: shape[i])
    entry: Any = axes[0] if len(axes) == 1 else axes
    return resharded(sharding, tuple(entry if i == longest else name for i, name in enumerate(names)), len(shape))


def _shape_with(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape_of(leaf), jnp.result_type(leaf), sharding=sharding)


def _answer(name: str, answer: Any, whole: Any) -> Any:
    """The answer of `others` as a sharding; None for replicated."""
    if isinstance(answer, PartitionSpec) and isinstance(whole, NamedSharding):
        return NamedSharding(whole.mesh, answer)
    if answer is None or isinstance(answer, Sharding):
        return answer
    raise TypeError(
        f"others must return a sharding, a PartitionSpec on a mesh, or None; for {name} it returned {describe(answer)}"
    )


def _fitting(name: str, shape: tuple[int, ...], sharding: Any) -> Any:
    """The sharding; ValueError if a leaf of this shape cannot be split so."""
    try:
        sharding.shard_shape(shape)
    except (ValueError, IndexError):
        raise ValueError(f"state at {name} has shape {shape}, which cannot be split as {sharding}") from None
    return sharding
