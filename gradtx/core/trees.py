"""The leaves of trees, their names, and errors that name the leaf where two trees differ."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.special import SpecialLeaf, is_container, is_leaf
from gradtx.core.traits import Traits


def is_none(x: Any) -> bool:
    """Whether x is None: the `is_leaf` for trees where None takes the place of a leaf."""
    return x is None


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves and the structure. None counts as a leaf, and so does a special leaf."""
    return jax.tree.flatten(tree, is_leaf=is_leaf)


def path_name(path: tuple) -> str:
    """The path of a leaf as errors and tables show it: `layers/0/w`."""
    return jax.tree_util.keystr(path, simple=True, separator="/") or "(the tree itself)"


def flatten_with_paths(tree: Any) -> tuple[list[tuple[tuple, Any]], Any]:
    """As `flatten`, but each leaf comes with its path."""
    return jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)


def leaf_names(tree: Any) -> list[str]:
    """The names of the leaves that `flatten` gives, in the same order.

    A box is a node whose only child is its attribute `value`: nnx's Variable, linen's Partitioned. Programs often box a
    leaf in one tree and not in another, so a box is not part of the name: `dense/kernel`.
    """
    paths = [path for path, _ in flatten_with_paths(tree)[0]]
    return [path_name(path[:-1] if _is_boxed(k, paths) else path) for k, path in enumerate(paths)]


def _is_boxed(k: int, paths: list[tuple]) -> bool:
    path = paths[k]
    if not path or path[-1] != jax.tree_util.GetAttrKey("value"):
        return False
    # A node with a second child is no box. The paths of siblings are neighbors in the list.
    neighbors = paths[max(k - 1, 0) : k] + paths[k + 1 : k + 2]
    return not any(other[: len(path) - 1] == path[:-1] for other in neighbors)


def is_trained(leaf: Any) -> bool:
    """Whether a leaf is a real or complex array or number.

    All others (integers, booleans, keys, float0, None) pass every transformation unchanged and have no state.
    """
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float | complex) if dtype is None else _is_inexact(dtype)


@functools.cache
def _is_inexact(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def shape_of(leaf: Any) -> tuple[int, ...]:
    """The shape of an array or a number."""
    return tuple(getattr(leaf, "shape", ()))


def require_same_tree(what: str, tree: Any, other_what: str, other: Any, *, same_kind: bool = False) -> None:
    """Raise unless each leaf of `tree` fits the leaf of `other` at the same place. The error names the leaf.

    With `same_kind`, a complex leaf does not fit a real one: adding it would drop its imaginary part.

    Raises:
        ValueError: a leaf is missing, is extra or has another shape; one of the two leaves is None.
        TypeError: a leaf is not an array or a number; the trees have different containers.
    """
    leaves, structure = flatten(tree)
    others, other_structure = flatten(other)
    if structure != other_structure:
        _raise_structure(what, tree, other_what, other)
    bad = [
        not _fits(leaf, target) or (same_kind and _is_complex(leaf) and not _is_complex(target))
        for leaf, target in zip(leaves, others, strict=True)
    ]
    if any(bad):
        k = bad.index(True)
        _raise_leaf(what, leaves[k], other_what, others[k], leaf_names(tree)[k])


def warn_of_integers(updates: Any, params: Any) -> None:
    """Warn, once for each name, of an integer gradient of an integer parameter: it has no effect."""
    if not any(map(_is_integer, jax.tree.leaves(params))):
        return
    for k, (leaf, target) in enumerate(zip(flatten(updates)[0], flatten(params)[0], strict=False)):
        if _is_integer(target) and _is_integer(leaf) and (name := leaf_names(params)[k]) not in _WARNED:
            _WARNED.add(name)
            warnings.warn(
                f"gradient at {name} is {_dtype(leaf)}, as the parameter: only real and complex leaves are trained, so "
                f"it never changes. Make the parameter a float, or give None as its gradient",
                stacklevel=3,
            )


_WARNED: set[str] = set()


def _is_integer(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return type(leaf) is int if dtype is None else _is_whole(dtype)


@functools.cache
def _is_whole(dtype: Any) -> bool:
    return getattr(dtype, "kind", None) in ("i", "u")


def require_arrays(what: str, tree: Any) -> None:
    """Raise TypeError if a leaf is not None, an array or a number. The error names the leaf."""
    for k, leaf in enumerate(flatten(tree)[0]):
        if leaf is not None and not _is_array(leaf):
            raise TypeError(
                f"{what} at {leaf_names(tree)[k]} must be an array or a number; got {leaf!r}: replace it with None"
            )


class OwnShapes:
    """A tree for `map_leaves` whose leaves have shapes of their own, as means of rows do, or are None."""

    def __init__(self, tree: Any):
        self.tree = tree


def beside(updates: Any, structure: Any, name: str, tree: Any) -> Any:
    """A tree for `map_leaves`, checked against the updates; of an `OwnShapes`, only the structure must fit."""
    if not isinstance(tree, OwnShapes):
        require_same_tree("update", updates, name, tree)
        return tree
    if flatten(tree.tree)[1] != structure:
        require_same_tree("update", updates, name, tree.tree)
    return tree.tree


def require_plain_parameters(piece: str, traits: Traits, params: Any) -> None:
    """Raise if the parameters hold a container that this piece cannot take, or a leaf that only gradients may have."""
    _require_trait(piece, traits, params)
    for k, leaf in enumerate(flatten(params)[0]):
        if isinstance(leaf, SpecialLeaf):
            name, kind = leaf_names(params)[k], type(leaf).__name__
            raise TypeError(f"{piece}: the parameter at {name} must be an array; got a {kind}, which is a gradient")


def taken_by(piece: str, traits: Traits, updates: Any) -> Any:
    """The updates in the form that a piece with these traits gets; raises if it cannot take a special leaf."""
    _require_trait(piece, traits, updates)
    leaves, structure = flatten(updates)
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, SpecialLeaf)]
    if not places:
        return updates
    names = leaf_names(updates)
    for k in places:
        if not getattr(traits, leaves[k].needs):
            raise leaves[k].refusal(piece, names[k])
        leaves[k] = leaves[k].prepared(f"gradient at {names[k]}")
    return jax.tree.unflatten(structure, leaves)


def _require_trait(piece: str, traits: Traits, tree: Any) -> None:
    """Raise if the tree holds a special container that needs a trait which the piece does not declare."""
    for node in jax.tree.leaves(tree, is_leaf=is_container):
        error = node.refusal(piece, "") if is_container(node) and not getattr(traits, node.needs) else None
        if error is not None:
            raise error


def _is_array(leaf: Any) -> bool:
    return (hasattr(leaf, "dtype") and hasattr(leaf, "shape")) or isinstance(leaf, bool | int | float | complex)


def _is_complex(leaf: Any) -> bool:
    return is_trained(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating)


def _fits(leaf: Any, target: Any) -> bool:
    if leaf is target:
        return True
    if is_trained(target):
        return is_trained(leaf) and shape_of(leaf) == shape_of(target)
    return leaf is None or (_is_array(leaf) and not is_trained(leaf))


def _raise_leaf(what: str, leaf: Any, other_what: str, target: Any, name: str) -> None:
    said = f"{what} at {name}"
    if leaf is not None and not _is_array(leaf):
        raise TypeError(f"{said} must be an array or a number; got {leaf!r}")
    if leaf is None:
        raise ValueError(
            f"{said} is None, but the {other_what} has shape {shape_of(target)}: give zeros, or None in both trees"
        )
    if target is None:
        raise ValueError(f"{said} has shape {shape_of(leaf)}, where the {other_what} is None: give None in both trees")
    if not is_trained(target):
        raise TypeError(
            f"{said} is {_dtype(leaf)}, the {other_what} {_dtype(target)}: only real and complex leaves are trained; "
            f"give None or float0 for the others"
        )
    if not is_trained(leaf):
        raise TypeError(f"{said} is {_dtype(leaf)}, the {other_what} {_dtype(target)}: expected a real or complex leaf")
    if shape_of(leaf) != shape_of(target):
        raise ValueError(f"{said} has shape {shape_of(leaf)}, the {other_what} {shape_of(target)}")
    raise TypeError(f"{said} is {_dtype(leaf)}, the {other_what} {_dtype(target)}: its imaginary part would be lost")


def _raise_structure(what: str, tree: Any, other_what: str, other: Any) -> None:
    names, others = leaf_names(tree), leaf_names(other)
    missing = [n for n in others if n not in set(names)]
    extra = [n for n in names if n not in set(others)]
    if tree is None:
        raise ValueError(f"the {what}s are None, where the {other_what}s are a tree with the leaf {others[0]}")
    ours = other_what.split()[0] in ("parameter", "gradient", "update")
    state = "" if ours else "; was the state made for other parameters?"
    if missing:
        instead = f"; there is one at {extra[0]} instead" if extra else state
        raise ValueError(f"there is no {what} at {missing[0]}, where there is a {other_what}{_more(missing)}{instead}")
    if extra:
        raise ValueError(f"{what} at {extra[0]} has no {other_what}{_more(extra)}{state}")
    here, there = jax.tree.structure(tree), jax.tree.structure(other)
    raise TypeError(f"the {what}s and the {other_what}s have the same leaves in other containers: {here}, {there}")


def _more(names: list[str]) -> str:
    return f" (nor at {', '.join(names[1:4])}{', ...' if len(names) > 4 else ''})" if len(names) > 1 else ""


def _dtype(leaf: Any) -> str:
    dtype = getattr(leaf, "dtype", None)
    return "float0" if dtype == jax.dtypes.float0 else str(dtype or np.asarray(leaf).dtype)
