"""The law of many devices: what is split over them gives the numbers of one, and stays where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradtx.core.trees import flatten, is_trained, leaf_names, path_name
from gradtx.placement import mirrors
from gradtx.sharding import state_shardings
from gradtx.testing.case import Case, like_or_self
from gradtx.testing.compare import BrokenError, SkippedError, near, stacked
from gradtx.testing.law import law

DEVICES = 8


@law(after=("traceable", "updates_fit", "state_types"))
def sharded(case: Case) -> None:
    """Split over eight devices, steps are those on one device, and the state stays where its parameter is."""
    devices = jax.devices()[:DEVICES]
    if len(devices) < 2:
        flag = f"--xla_force_host_platform_device_count={DEVICES}"
        raise SkippedError(f"there is one device: XLA_FLAGS={flag} simulates {DEVICES}")
    params = like_or_self(case.params, lambda p: _longer(p, len(devices))) if case.any_tree else case.params
    place = _places(params, devices)
    gradients = case.gradients(2, params if case.any_tree else None)
    split = place(params)
    made = case.init if case.is_value else jax.jit(case.init, out_shardings=state_shardings(case.tx, split))
    start = made(split)
    _at_parameters("the state of init", split, start)
    history, state, moved = case.run([place(g) for g in gradients], start, split)
    expected = case.run(gradients, params=params)
    near("the update on many devices", stacked(history), stacked(expected[0]))
    near("the state on many devices", state, expected[1])
    near("the parameters on many devices", moved, expected[2])
    _at_parameters("the state after two steps", split, state)
    _at_parameters("the tree of parameters after two steps", split, moved)


def _longer(p: jax.Array, times: int) -> jax.Array:
    """The leaf repeated along its first axis, so that as many devices divide it."""
    return jnp.concatenate([p] * times) if p.ndim else p


def _places(params: Any, devices: list) -> Callable[[Any], Any]:
    """What puts a tree like the parameters on as many of the devices as divide an axis of one of them."""
    shapes = [leaf.shape for leaf in flatten(params)[0] if is_trained(leaf)]
    count = next((n for n in range(len(devices), 1, -1) if any(s and s % n == 0 for shape in shapes for s in shape)), 1)
    if count == 1:
        raise SkippedError("no axis of a parameter can be split over devices")
    mesh = Mesh(np.asarray(devices[:count]), ("x",))

    def put(p: Any) -> jax.Array:
        axis = next((i for i, n in enumerate(p.shape) if n and n % count == 0), None)
        spec = [None] * p.ndim if axis is None else [*[None] * axis, "x"]
        return jax.device_put(p, NamedSharding(mesh, PartitionSpec(*spec)))

    return lambda tree: like_or_self(tree, put)


def _at_parameters(what: str, params: Any, state: Any) -> None:
    """Raise unless each leaf that has the shape of its parameter is split as that is."""
    owners, names = flatten(params)[0], leaf_names(params)
    for path, leaf, k in ((row.path, row.leaf, row.parameter) for row in mirrors(params, state)):
        if k is None or not is_trained(leaf) or leaf.shape != owners[k].shape:
            continue
        if not leaf.sharding.is_equivalent_to(owners[k].sharding, leaf.ndim):
            raise BrokenError(
                f"{what} at {path_name(path)} is split as {leaf.sharding}; its parameter {names[k]}, "
                f"as {owners[k].sharding}"
            )
