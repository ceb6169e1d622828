"""Frames on whole trees: which leaves a frame takes, their bases, and the way in and out."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.frames.frame import Frame, Leaf
from gradtx.frames.leaves import begin_leaf, into_leaf, out_leaf, shape_inside
from gradtx.meshes import spec_of
from gradtx.transforms.seeds import path_hashes


def taken(who: str, frame: Frame, tree: Any) -> list[bool]:
    """For each leaf, also None, whether it gets other coordinates.

    Raises: ValueError: the frame cannot take a leaf, which the error names.
    """
    out = []
    for k, x in enumerate(flatten(tree)[0]):
        try:
            out.append(is_trained(x) and bool(frame.takes(outside(x))))
        except ValueError as error:
            raise ValueError(f"{who}: the leaf at {leaf_names(tree)[k]} has shape {shape_of(x)}: {error}") from None
    return out


@dataclasses.dataclass(frozen=True)
class LeavesOf:
    """The leaves that a frame takes, or all others: a mask for `masked`, a function of the parameters."""

    frame: Frame
    others: bool = False

    def __call__(self, params: Any) -> Any:
        """A tree of bools like the parameters."""
        mine = taken("masked", self.frame, params)
        return jax.tree.unflatten(flatten(params)[1], [own != self.others for own in mine])


def first_bases(who: str, frame: Frame, params: Any) -> Any:
    """The bases before the first step: a tree like the parameters, None for leaves that the frame does not take."""
    mine, (leaves, structure), salts = taken(who, frame, params), flatten(params), path_hashes(params)
    rows = zip(mine, leaves, salts, strict=True)
    return jax.tree.unflatten(structure, [frame.init(outside(x), salt) if own else None for own, x, salt in rows])


def bases_of(who: str, bases: Any, frame: Frame, updates: Any) -> list:
    """The basis of each leaf.

    Raises: ValueError: a leaf does not fit its basis; the error names it.
    """
    leaves, structure = flatten(updates)
    try:
        found = structure.flatten_up_to(bases)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{who}: the updates have other leaves than the state was made for: {error}") from None
    for k, (own, x, basis) in enumerate(zip(taken(who, frame, updates), leaves, found, strict=True)):
        if _shapes(basis) != (_shapes_of(frame, outside(x)) if own else None):
            raise ValueError(
                f"{who}: the update at {leaf_names(updates)[k]} has shape {shape_of(x)}, and the state has a basis for "
                f"another shape there: make the state with this transformation's own init"
            )
    return found


def into_frame(frame: Frame, mine: list[bool], bases: list, tree: Any, *, first: bool = False) -> Any:
    """The tree in the coordinates of the frame, or in its first ones. Leaves that are shapes stay shapes."""

    def leaf(basis: Any, x: Any) -> Any:
        if isinstance(x, jax.ShapeDtypeStruct):
            return shape_inside(frame, basis, x)
        return begin_leaf(frame, basis, jnp.asarray(x)) if first else into_leaf(frame, basis, jnp.asarray(x))

    leaves, structure = flatten(tree)
    rows = zip(mine, bases, leaves, strict=True)
    return jax.tree.unflatten(structure, [leaf(basis, x) if own else x for own, basis, x in rows])


def out_of_frame(frame: Frame, mine: list[bool], bases: list, inside: Any, like: Any) -> Any:
    """The tree `inside`, which is in the coordinates of the frame, in the coordinates that the tree `like` has."""
    leaves, structure = flatten(like)
    rows = zip(mine, bases, flatten(inside)[0], leaves, strict=True)
    out = [out_leaf(frame, outside(x), spec_of(x), basis, jnp.asarray(y)) if own else y for own, basis, y, x in rows]
    return jax.tree.unflatten(structure, out)


def outside(x: Any) -> Leaf:
    """The shape and type of a leaf."""
    return jax.ShapeDtypeStruct(shape_of(x), jnp.result_type(x))


@functools.lru_cache(maxsize=4096)
def _shapes_of(frame: Frame, leaf: Leaf) -> Any:
    return _shapes(jax.eval_shape(lambda: frame.init(leaf, np.zeros(2, np.uint32))))


def _shapes(basis: Any) -> Any:
    return jax.tree.map(lambda x: x.shape, basis)
