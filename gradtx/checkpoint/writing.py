"""Preparing trees for Orbax to write."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np

from gradtx.checkpoint.checksums import checksums
from gradtx.checkpoint.index import STORED, Index, to_json
from gradtx.checkpoint.leaves import Leaf, carried, entries

_RESERVED = ("rename", "step", "strict")


def named_trees(trees: dict[str, Any]) -> dict[str, tuple[Leaf, Any]]:
    """The leaves of several trees and their descriptions, by paths that begin with the name of the tree.

    Raises:
        ValueError: a name is that of an argument of `restore`, or is not an identifier.
    """
    for name in trees:
        if name in _RESERVED or not name.isidentifier():
            raise ValueError(f"a tree cannot be called {name!r}: use a name such as params or state")
    return {path: entry for name, tree in trees.items() for path, entry in entries(name, tree).items()}


def items(orbax: Any, found: dict[str, tuple[Leaf, Any]]) -> Any:
    """The arguments of Orbax's save: the index, and the arrays. Orbax refuses arrays without elements.

    Raises:
        TypeError: a leaf cannot be stored.
        ValueError: in a run of several processes, an array is on devices of this process only.
    """
    arrays = {name: _array(name, leaf) for name, (_, leaf) in found.items()}
    arrays = {name: array for name, array in arrays.items() if array.size}
    index = Index({name: leaf for name, (leaf, _) in found.items()}, checksums(arrays))
    written = {"index": orbax.args.JsonSave(to_json(index))}
    if arrays:
        written["arrays"] = orbax.args.PyTreeSave(arrays)
    return orbax.args.Composite(**written)


def _array(name: str, leaf: Any) -> Any:
    """The array that Orbax stores for a leaf."""
    try:
        array = carried(leaf, STORED)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    if not isinstance(array, jax.Array) or jax.process_count() == 1 or not array.is_fully_addressable:
        return array
    if array.committed:
        raise ValueError(
            f"{name} is on devices of this process only: put it on a mesh of all devices, for example with "
            f"jax.device_put(x, NamedSharding(mesh, PartitionSpec()))"
        )
    return np.asarray(array)


def whole_step(step: Any) -> int:
    """A step as an int.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is negative.
    """
    try:
        step = operator.index(step)
    except TypeError:
        raise TypeError(f"step must be a whole number; got {step!r}") from None
    if step < 0:
        raise ValueError(f"step must be at least 0; got {step}")
    return step
