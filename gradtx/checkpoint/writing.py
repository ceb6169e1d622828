"""What is written of a checkpoint."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np

from gradtx.checkpoint.index import STORED, Index, to_json
from gradtx.checkpoint.leaves import Leaf, carried, entries
from gradtx.checkpoint.sums import check_sums

_RESERVED = ("rename", "step", "strict")


def named_trees(trees: dict[str, Any]) -> dict[str, tuple[Leaf, Any]]:
    """The leaves of several trees with what they are, by paths that begin with the name of the tree.

    Raises:
        ValueError: a name that the arguments of `restore` have, or no name at all.
    """
    for name in trees:
        if name in _RESERVED or not name.isidentifier():
            raise ValueError(f"a tree cannot be called {name!r}: take a name such as params or state")
    return {path: entry for name, tree in trees.items() for path, entry in entries(name, tree).items()}


def items(orbax: Any, found: dict[str, tuple[Leaf, Any]]) -> Any:
    """What Orbax is to write: the index, and the arrays that have elements; it takes no others.

    Raises:
        TypeError: for a leaf that cannot be stored.
        ValueError: for an array that one of several processes has put on devices of its own.
    """
    arrays = {name: _array(name, leaf) for name, (_, leaf) in found.items()}
    arrays = {name: array for name, array in arrays.items() if array.size}
    index = Index({name: leaf for name, (leaf, _) in found.items()}, check_sums(arrays))
    written = {"index": orbax.args.JsonSave(to_json(index))}
    if arrays:
        written["arrays"] = orbax.args.PyTreeSave(arrays)
    return orbax.args.Composite(**written)


def _array(name: str, leaf: Any) -> Any:
    """What Orbax is given for a leaf."""
    try:
        array = carried(leaf, STORED)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    if not isinstance(array, jax.Array) or jax.process_count() == 1 or not array.is_fully_addressable:
        return array
    if array.committed:
        raise ValueError(
            f"{name} lies on devices of this process alone: put it on a mesh of all devices, as with "
            f"jax.device_put(x, NamedSharding(mesh, PartitionSpec()))"
        )
    return np.asarray(array)


def whole_step(step: Any) -> int:
    """A step as an int.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is negative.
    """
    try:
        step = operator.index(step)
    except TypeError:
        raise TypeError(f"step must be a whole number; got {step!r}") from None
    if step < 0:
        raise ValueError(f"step must be at least 0; got {step}")
    return step
