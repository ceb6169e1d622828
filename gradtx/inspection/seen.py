"""What a watch looks at: which leaves belong to which group, and what one update leaves behind, stage by stage."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.inspection.sampling import kept
from gradtx.inspection.watch_measures import Leaf
from gradtx.storage.fields import map_fields
from gradtx.wrappers.rules import first_rules, trained_leaves


class Watched(NamedTuple):
    """places: of the trained leaves among all. names: of leaves or groups. group_of: for each of the places, an index
    among the names. sampled: how many numbers a sample of all these leaves has, a complex entry being two. counts: the
    type in which sampled entries of a group are counted."""

    places: tuple[int, ...]
    names: tuple[str, ...]
    group_of: tuple[int, ...]
    sampled: int
    counts: Any

    def pick(self, tree: Any) -> list:
        """The watched leaves of a tree."""
        leaves = flatten(tree)[0]
        return [leaves[k] for k in self.places]


def watched(params: Any, groups: Mapping[str, Any] | None, sample: int) -> Watched:
    """The trained leaves and the group of each; kept for each structure, so that an eager step does not pay for it.

    Raises: ValueError: a rule that fits no leaf.
    """
    rules = None if groups is None else tuple(groups.items())
    if rules is not None and not all(_on_paths(rule) for _, rule in rules):
        return _looked_up(params, rules, sample)  # a function may look at the leaf itself
    leaves, structure = flatten(params)
    kinds = tuple((getattr(x, "shape", ()), getattr(x, "dtype", type(x))) for x in leaves)
    try:
        hash(structure)
    except TypeError:  # nodes whose own data has no hash
        return _looked_up(params, rules, sample)
    return _kept(structure, kinds, rules, sample)


def _on_paths(rule: Any) -> bool:
    """Whether a rule looks at nothing but the path of a leaf."""
    return all(map(_on_paths, rule)) if isinstance(rule, tuple) else isinstance(rule, str | re.Pattern)


@functools.lru_cache(maxsize=256)
def _kept(structure: Any, kinds: tuple, rules: tuple | None, sample: int) -> Watched:
    return _looked_up(jax.tree.unflatten(structure, [_like(*kind) for kind in kinds]), rules, sample)


def _like(shape: tuple, kind: Any) -> Any:
    """A leaf of this shape and type, without numbers; None in the place of what is not trained."""
    dtype = jnp.result_type(kind) if kind is float or kind is complex else kind
    return jax.ShapeDtypeStruct(shape, dtype) if not isinstance(dtype, type) else None


def _looked_up(params: Any, rules: tuple | None, sample: int) -> Watched:
    leaves = trained_leaves(None, params)
    names, group_of = tuple(leaf.path for leaf in leaves), tuple(range(len(leaves)))
    if rules is not None:
        taken = first_rules("watch", [rule for _, rule in rules], leaves)
        own = tuple(name for name, _ in rules)
        names = () if not leaves else (*own, "others") if len(taken) < len(leaves) else own
        group_of = tuple(taken.get(leaf.place, len(own)) for leaf in leaves)
    entries = [math.prod(kept(shape_of(leaf.parameter), sample)) for leaf in leaves]
    parts = [1 + jnp.issubdtype(jnp.result_type(leaf.parameter), jnp.complexfloating) for leaf in leaves]
    most = max(np.bincount(np.asarray(group_of, np.intp), entries), default=0)
    return Watched(
        tuple(leaf.place for leaf in leaves),
        names,
        group_of,
        sum(n * k for n, k in zip(entries, parts, strict=True)),
        jnp.uint16 if most < 2**16 else jnp.int32,
    )


def leaves_of(where: Watched, updates: Any, outs: Sequence[Any], after: Any, params: Any) -> list[Leaf]:
    """What is measured of each watched leaf, of one update."""
    columns = [where.pick(out) for out in outs]
    moments = [where.pick(field) for field in second_moments(after, updates)]
    out = []
    for k, (g, w) in enumerate(zip(where.pick(updates), where.pick(params), strict=True)):
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
