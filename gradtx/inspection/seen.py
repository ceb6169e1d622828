"""What a watch looks at: which leaves belong to which group, and what one update leaves behind, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.core.values import opened
from gradtx.inspection.measures import Leaf
from gradtx.inspection.sampling import kept
from gradtx.storage.walk import map_fields
from gradtx.wrappers.rules import first_rules, trained_leaves


class Watched(NamedTuple):
    """places: of the trained leaves among all. names: of leaves or groups. group_of: for each of the places, an index
    among the names."""

    places: tuple[int, ...]
    names: tuple[str, ...]
    group_of: tuple[int, ...]

    def pick(self, tree: Any) -> list:
        """The watched leaves of a tree."""
        leaves = flatten(tree)[0]
        return [leaves[k] for k in self.places]


def watched(updates: Any, params: Any, groups: Mapping[str, Any] | None) -> Watched:
    """The trained leaves, and the group of each.

    Raises: ValueError: a rule that fits no leaf.
    """
    leaves = trained_leaves(updates, params)
    places = tuple(leaf.place for leaf in leaves)
    if groups is None:
        return Watched(places, tuple(leaf.path for leaf in leaves), tuple(range(len(leaves))))
    taken = first_rules("watch", list(groups.values()), leaves)
    names = (*groups, "others") if len(taken) < len(leaves) else tuple(groups)
    return Watched(places, names if leaves else (), tuple(taken.get(place, len(groups)) for place in places))


def leaves_of(where: Watched, updates: Any, outs: tuple[Any, ...], after: Any, params: Any) -> list[Leaf]:
    """What is measured of each watched leaf, of one update."""
    columns = [where.pick(out) for out in outs]
    weights = [None] * len(where.places) if params is None else where.pick(params)
    moments = [where.pick(field) for field in second_moments(after, updates)]
    gradients, out = where.pick(updates), []
    for k, (g, w) in enumerate(zip(gradients, weights, strict=True)):
        own = tuple(m[k] for m in moments if is_trained(m[k]) and shape_of(m[k]) == shape_of(g))
        out.append(Leaf(g, tuple(column[k] for column in columns), w, own))
    return out


def second_moments(state: Any, like: Any) -> list[Any]:
    """The fields of a state that are like a tree, and declared to be what updates are divided by."""
    found: list[Any] = []

    def note(path: tuple, field: Any, role: str) -> Any:
        if role == "nonnegative" and flatten(field)[1] == flatten(like)[1]:
            found.append(field)
        return field

    map_fields(note, lambda path, leaf: leaf, state, {})
    return found


def is_clip(tx: GradientTransformation) -> bool:
    """Whether a stage is a clip, by its name; of a wrapper, whether all that is inside is."""
    piece = tx._recipe()
    inner = [c.value for c in opened(piece).children if is_transformation(c.value)]
    return all(map(is_clip, inner)) if inner else "clip" in piece._label


def kept_samples(params: Any, where: Watched, most: int) -> int:
    """How many numbers a sample of all watched leaves has: a complex entry is two."""
    return sum(n * parts for n, parts in _counts(params, where, most))


def most_counts(params: Any, where: Watched, most: int) -> int:
    """How many sampled entries a group has at most."""
    sums = np.zeros(len(where.names) + 1, np.int64)
    np.add.at(sums, list(where.group_of), [n for n, _ in _counts(params, where, most)])
    return int(sums.max())


def _counts(params: Any, where: Watched, most: int) -> list[tuple[int, int]]:
    leaves = where.pick(params)
    complex_ = [jnp.issubdtype(jnp.result_type(p), jnp.complexfloating) for p in leaves]
    return [(math.prod(kept(shape_of(p), most)), 1 + c) for p, c in zip(leaves, complex_, strict=True)]
