"""Subtrees that moved: the same leaves at another path."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Set

from gradtx.checkpoint.leaves import Leaf

_Parts = tuple[str, ...]


def moves(
    saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf], extra: Set[str], missing: Set[str]
) -> list[tuple[str, str]]:
    """Pairs (old path, new path) of subtrees that are equal, and have no counterpart at their own path.

    Larger subtrees are matched first. If a subtree matches more than one, it and its parts are left alone. The names of
    fields have a meaning, so a `nu` never becomes a `mu`. A whole state may move with the wrappers around it, under its
    own name. Subtrees inside a field move within that field. A subtree of scalars only, which looks like many others,
    must keep its name.

    Args:
        saved, wanted: all leaves by path.
        extra, missing: the paths without a counterpart, in the checkpoint and in the target.
    """
    olds, news = _subtrees(saved, extra), _subtrees(wanted, missing)
    alike: dict[frozenset, tuple[list[_Parts], list[_Parts]]] = defaultdict(lambda: ([], []))
    for side, nodes in enumerate((olds, news)):
        for node, leaves in nodes.items():
            alike[frozenset(leaves.items())][side].append(node)
    found: list[tuple[_Parts, _Parts]] = []
    done_old: set[_Parts] = set()
    done_new: set[_Parts] = set()
    groups = [(before, after) for before, after in alike.values() if before and after]
    for before, after in sorted(groups, key=lambda g: (-len(olds[g[0][0]]), min(map(len, g[0])))):
        pairs = [
            (a, b)
            for a in before
            for b in after
            if not _inside(a, done_old) and not _inside(b, done_new) and _may_move(a, b, saved, wanted, olds[a])
        ]
        for a, b in pairs:
            rivals = [p for p in pairs if (p[0] == a) != (p[1] == b)]
            own_name = a[-1:] == b[-1:]
            if all(own_name and p[0][-1:] != p[1][-1:] for p in rivals):
                found.append((a, b))
        done_old.update(a for a, _ in pairs)
        done_new.update(b for _, b in pairs)
    return sorted(("/".join(a), "/".join(b)) for a, b in found)


def numbered(saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf]) -> list[str]:
    """The states whose names differ in a number only, if one side has more of them than the other."""
    sides: tuple[dict[str, set[str]], dict[str, set[str]]] = (defaultdict(set), defaultdict(set))
    for side, leaves in zip(sides, (saved, wanted), strict=True):
        for name, leaf in leaves.items():
            parts = name.split("/")
            for k in leaf.fields:
                if k - 1 > 0 and k - 1 not in leaf.fields:
                    node = "/".join(parts[:k])
                    side[re.sub(r"_\d+$", "", node)].add(node)
    both = sides[0].keys() & sides[1].keys()
    unlike = [stem for stem in both if sides[0][stem] != sides[1][stem] and stem in sides[0][stem] | sides[1][stem]]
    return sorted(node for stem in unlike for node in sides[0][stem] | sides[1][stem])


def _subtrees(leaves: Mapping[str, Leaf], free: Set[str]) -> dict[_Parts, dict[_Parts, tuple]]:
    """Every node with free leaves only, and its leaves: the rest of the path -> type and shape."""
    nodes: dict[_Parts, dict[_Parts, tuple]] = defaultdict(dict)
    taken: set[_Parts] = set()
    for name, leaf in leaves.items():
        parts = tuple(name.split("/"))
        for depth in range(1, len(parts) + 1):
            if name in free:
                nodes[parts[:depth]][parts[depth:]] = (leaf.type, leaf.shape)
            else:
                taken.add(parts[:depth])
    return {node: inside for node, inside in nodes.items() if node not in taken}


def _may_move(a: _Parts, b: _Parts, saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf], leaves: dict) -> bool:
    if a[0] != b[0]:  # one is in the parameters, the other in the state
        return False
    below = [tuple(k for k in saved["/".join(a + rest)].fields if k >= len(a)) for rest in leaves]
    rest = next(iter(leaves))
    old, new = (_fields(node, tree["/".join(node + rest)]) for node, tree in ((a, saved), (b, wanted)))
    whole = len(a) == 1 or len(b) == 1
    if not whole and (len(a) - 1 in old or len(b) - 1 in new):
        return False
    if all(below):  # whole states: a wrapper around them may be new, or gone
        names = {_called(a, old), _called(b, new)} - {""}
        if _direct(below, len(a)) and len(names) > 1:  # the states of different methods may have the same fields
            return False
        longer, shorter = sorted(([a[k] for k in old], [b[k] for k in new]), key=len, reverse=True)
        if longer[len(longer) - len(shorter) :] != shorter:
            return False
    elif not whole and a[: max(old, default=-1) + 1] != b[: max(new, default=-1) + 1]:  # not in the same field
        return False
    scalars = all(math.prod(shape) <= 1 for _, shape in leaves.values())
    return whole or not scalars or (a[-1] == b[-1] and rest != ())


def _direct(below: list[tuple[int, ...]], depth: int) -> bool:
    """Whether this node is itself a state: then only its name says which method it belongs to."""
    return any(depth in fields for fields in below)


def _called(node: _Parts, fields: list[int]) -> str:
    """The last name in the path that is not a field, without the number of a second one; "" if there is none."""
    names = [part for k, part in enumerate(node) if k and k not in fields]
    return re.sub(r"_\d+$", "", names[-1]) if names else ""


def _fields(node: _Parts, leaf: Leaf) -> list[int]:
    return [k for k in leaf.fields if k < len(node)]


def _inside(node: _Parts, done: set[_Parts]) -> bool:
    """Whether a node, or one above it, is in the set."""
    return any(node[:depth] in done for depth in range(1, len(node) + 1))
