"""Parts of trees: a tree in which some leaves are one's own, and what a transformation of these leaves is given."""

from __future__ import annotations

import functools
from typing import Any

import jax

from gradtx.core.trees import flatten, flatten_with_paths, leaf_names, path_name
from gradtx.wrappers.rules import is_function, nearest


def part(tree: Any, own: list[bool]) -> Any:
    """The tree with None in place of the leaves that are not one's own; None for None."""
    if tree is None:
        return None
    leaves, structure = flatten(tree)
    if own == [False] and jax.tree_util.treedef_is_leaf(structure):
        return ()  # a tree that is a leaf: None would be no tree
    return jax.tree.unflatten(structure, [x if mine else None for x, mine in zip(leaves, own, strict=True)])


def merged(owns: list[list[bool]], trees: list[Any]) -> Any:
    """One tree of several: each leaf comes from the first tree that owns it, else from the last, which has no list."""
    structure = next((flatten(tree)[1] for tree in trees[::-1] if flatten(tree)[0]), flatten(trees[-1])[1])
    columns = [flatten(tree)[0] or [None] * structure.num_leaves for tree in trees]
    out = columns[-1]
    for own, column in zip(owns[::-1], columns[-2::-1], strict=True):
        out = [x if mine else other for mine, x, other in zip(own, column, out, strict=True)]
    return jax.tree.unflatten(structure, out)


def extras_for(own: list[bool], params: Any, extra: dict[str, Any]) -> dict[str, Any]:
    """The extra arguments for a transformation that sees some of the leaves.

    A tree of gradients is cut. A function of the parameters is called with all of them: those that the transformation
    does not see have their present values.
    """
    if params is None:
        return extra
    structure = flatten(params)[1]

    def whole(mine: Any) -> Any:
        return merged([own], [mine, params])

    def one(name: str, value: Any) -> Any:
        if value is None:
            return None
        if name == "value_fn":
            return functools.wraps(value)(lambda mine, *args, **kwargs: value(whole(mine), *args, **kwargs))
        if name == "grad_fn":
            return functools.wraps(value)(lambda mine, *args, **kwargs: part(value(whole(mine), *args, **kwargs), own))
        return part(value, own) if name == "grad" and flatten(value)[1] == structure else value

    return {name: one(name, value) for name, value in extra.items()}


def resolved(who: str, tree: Any, params: Any) -> Any:
    """The tree, or what a function of the parameters returns in its place.

    Raises: ValueError: it is a function, and the parameters are not given.
    """
    if not is_function(tree):
        return tree
    if params is None:
        raise ValueError(f"{who} calls a function of the parameters: call update(updates, state, params)")
    return tree(params)


def prefix_leaves(who: str, what: str, prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of a tree, the leaf of the prefix tree that covers it.

    Raises: ValueError: `prefix` is not a prefix of the tree; the error names the leaf.
    """
    out: list[Any] = []
    if not flatten(tree)[0]:
        return out  # a tree without leaves fits every prefix
    try:
        leaves, structure = flatten(prefix)
        for x, below in zip(leaves, structure.flatten_up_to(tree), strict=True):
            out.extend([x] * len(flatten(below)[0]))
    except (ValueError, TypeError, KeyError):
        boxed = _by_name(prefix, tree)
        if boxed is None:
            raise ValueError(f"{who}: {_misfit(what, leaf_names(prefix), leaf_names(tree))}") from None
        return boxed
    return out


def _by_name(prefix: Any, tree: Any) -> list[Any] | None:
    """The same by the names of the leaves, where boxes are all that differs; None where it is something else."""
    names, paths = leaf_names(prefix), leaf_names(tree)
    if (names, paths) == (_full_names(prefix), _full_names(tree)):
        return None  # there are no boxes
    covers = dict(zip(names, flatten(prefix)[0], strict=True))
    found = [next((name for name in _upwards(path) if name in covers), None) for path in paths]
    return None if None in found or set(found) != set(names) else [covers[name] for name in found if name is not None]


def _full_names(tree: Any) -> list[str]:
    return [path_name(path) for path, _ in flatten_with_paths(tree)[0]]


def _upwards(path: str) -> list[str]:
    keys = path.split("/")
    return ["/".join(keys[:n]) for n in range(len(keys), 0, -1)]


def _misfit(what: str, names: list[str], paths: list[str]) -> str:
    def covers(name: str, path: str) -> bool:
        return path == name or path.startswith(f"{name}/")

    for path in paths:
        if not any(covers(name, path) for name in names):
            return f"there is no {what} for {path}"
    for name in names:
        if not any(covers(name, path) for path in paths):
            return f"there is a {what} for {name}, where the parameters have no leaf; nearest: {nearest(name, paths)}"
    return f"the {what}s are in other containers than the parameters"
