"""Fields of a state by name, and functions for those that are like the parameters, under optax's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey

from gradtx.core.trees import is_none
from gradtx.storage.fields import map_fields

__all__ = ["NamedTupleKey", "get", "get_all_with_path", "map_params", "set"]

Filter = Callable[[tuple, Any], Any]


@dataclasses.dataclass(frozen=True)
class NamedTupleKey:
    """A field of a NamedTuple in a path, with the name of its type."""

    tuple_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.tuple_name}.{self.name}"


def _children(node: Any) -> list[tuple[Any, Any]]:
    """The keys and values one level below; none of a leaf."""
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        names: Any = getattr(node, "_fields", ())
        return [(NamedTupleKey(type(node).__name__, name), getattr(node, name)) for name in names]
    found = jax.tree_util.default_registry.flatten_one_level_with_keys(node)
    return [] if found is None else list(found[0])


def _name(key: Any) -> Any:
    if isinstance(key, NamedTupleKey | GetAttrKey):
        return key.name
    return key.key if isinstance(key, DictKey | FlattenedIndexKey) else None


def _matches(path: tuple, node: Any, key: Any) -> bool:
    is_type = isinstance(node, tuple) and hasattr(node, "_fields") and type(node).__name__ == key
    return is_type or (bool(path) and _name(path[-1]) == key)


def _walk(tree: Any, key: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Those one level below first, then what is inside each."""
    below = [((*path, step), child) for step, child in _children(tree)]
    yield from ((here, child) for here, child in below if _matches(here, child, key))
    for here, child in below:
        yield from _walk(child, key, here)


def get_all_with_path(tree: Any, key: Any, filtering: Filter | None = None) -> list[tuple[tuple, Any]]:
    """All (path, value) with this field, key of a dict, or name of a NamedTuple."""
    found = [((), tree)] if _matches((), tree, key) else []
    found.extend(_walk(tree, key))
    return [(path, value) for path, value in found if filtering is None or filtering(path, value)]


def get(tree: Any, key: Any, default: Any = None, filtering: Filter | None = None) -> Any:
    """The value with this field, key of a dict, or name of a NamedTuple; KeyError: there are several."""
    found = get_all_with_path(tree, key, filtering)
    if len(found) > 1:
        raise KeyError(f"Found multiple values for {key!r} in {tree}: " + ", ".join(_shown(path) for path, _ in found))
    return found[0][1] if found else default


def _shown(path: tuple) -> str:
    return "/".join(str(key) for key in path)


def set(tree: Any, filtering: Filter | None = None, /, **kwargs: Any) -> Any:
    """The tree with new values for some fields or keys of dicts; KeyError: there is no such name."""
    for name in kwargs:
        if not get_all_with_path(tree, name, filtering):
            raise KeyError(f"unable to find key {name!r} in the tree" + (" (with this filter)" if filtering else ""))

    def replaced(node: Any, path: tuple) -> Any:
        last = _name(path[-1]) if path else None
        if last in kwargs and (filtering is None or filtering(path, node)):
            return kwargs[last]
        children = _children(node)
        if not children:
            return node
        new = [replaced(child, (*path, step)) for step, child in children]
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return type(node)(*new)
        treedef = jax.tree.structure(node, is_leaf=lambda x: x is not node)
        return jax.tree.unflatten(treedef, new)

    return replaced(tree, ())


@jax.tree_util.register_pytree_node_class
class _Parameters:
    """Stands for the parameters in an init: each field of the state like them becomes one of these."""

    def __init__(self, value: Any):
        self.value = value

    def tree_flatten(self) -> tuple[tuple, None]:
        """One leaf."""
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple) -> _Parameters:
        """From that leaf."""
        return cls(*children)


def map_params(
    initable: Any,
    f: Callable[..., Any],
    state: Any,
    /,
    *rest: Any,
    transform_non_params: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Apply a function to each leaf of a state that belongs to a parameter, with those of `rest` at its place.

    Args:
        initable: the transformation, or its init.
        f: `(leaf of the state, *leaves of the rest) -> new leaf`.
        state: the state.
        *rest: trees like the parameters.
        transform_non_params: for the other leaves; None leaves them alone.
        is_leaf: what counts as a leaf of the fields.
    """
    others = transform_non_params or (lambda x: x)

    def each(field: Any) -> Any:
        def leaf(x: Any, *more: Any) -> Any:
            return None if x is None else f(x, *more)

        return jax.tree.map(leaf, field, *rest, is_leaf=lambda x: is_none(x) or (is_leaf is not None and is_leaf(x)))

    def placed(place: Any, field: Any) -> Any:
        return each(field) if isinstance(place, _Parameters) else others(field)

    init = getattr(initable, "init", initable)
    places: Any = None
    try:
        places = jax.eval_shape(init, _Parameters(jax.ShapeDtypeStruct((2, 2), "float32")))
        jax.tree.map(lambda *_: True, places, state, is_leaf=lambda x: isinstance(x, _Parameters))
        fits = True
    except Exception:  # a mask, labels or a norm need the tree itself
        fits = False
    if not fits:  # the roles of the fields say which are like it
        return map_fields(lambda path, field, role: each(field), lambda path, leaf: others(leaf), state, {})
    return jax.tree.map(placed, places, state, is_leaf=lambda x: isinstance(x, _Parameters))
