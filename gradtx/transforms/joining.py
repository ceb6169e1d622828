"""Small leaves as one vector, for reductions over all of them: XLA compiles the reduction of each array for itself."""

from __future__ import annotations

import jax
from jax.sharding import AxisType

from gradtx.core.deferred import is_staged
from gradtx.transforms.split import varying

_SMALL = 4_096  # entries: a larger leaf costs more to copy than to reduce alone


def joined(leaves: list) -> list:
    """Arrays with the same entries; in a program, small leaves are one vector for each dtype, in front of the others.

    A leaf stays alone if it may be split over devices: the vector would have to be gathered.
    """
    if not any(map(is_staged, leaves)) or jax.default_backend() == "tpu":  # it would change the layout
        return leaves
    small: dict[tuple, list] = {}
    others = []
    for x in leaves:
        if x.size <= _SMALL and _is_whole(x):
            small.setdefault((x.dtype, varying(x)), []).append(x)
        else:
            others.append(x)
    return [*map(_vector, small.values()), *others]


def _vector(xs: list) -> jax.Array:
    if len(xs) == 1:
        return xs[0]
    vector = jax.lax.concatenate([jax.lax.reshape(x, (x.size,)) for x in xs], 0)
    return jax.lax.optimization_barrier(vector)  # without it, XLA takes the reduction of the vector apart again


def _is_whole(x: jax.Array) -> bool:
    """Whether an array surely lies whole on each device, or is a device's own part of one, as in `shard_map`."""
    sharding = jax.typeof(x).sharding
    if sharding.mesh.empty or AxisType.Auto in sharding.mesh.axis_types:
        return jax.device_count() == 1  # under jit, JAX does not know how such an array is split
    return all(axis is None for axis in sharding.spec)
