"""Copies of parameters in a state, and states found inside a state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import flatten, is_none, is_trained, leaf_names, path_name, require_same_tree
from gradtx.errors import describe

State = TypeVar("State")


def copied(params: Any) -> Any:
    """Copies of the parameters in new buffers: float32 or wider, None where a leaf is not trained.

    Raises:
        TypeError: a parameter is a `jax.ShapeDtypeStruct`, which has no numbers to copy.
    """

    def leaf(p: Any) -> jax.Array | None:
        if isinstance(p, jax.ShapeDtypeStruct):
            raise TypeError(
                "this state begins with a copy of the parameters; for shapes, jax.eval_shape(tx.init, shapes)"
            )
        return jnp.array(p, at_width(jnp.result_type(p), float_dtype(p))) if is_trained(p) else None

    return jax.tree.map(leaf, params, is_leaf=is_none)


def only_trained(tree: Any) -> Any:
    """The tree, with None for the leaves that are not trained: a count, a key, a function in a module."""
    return jax.tree.map(lambda x: x if is_trained(x) else None, tree, is_leaf=is_none)


def the_state(reader: str, kind: type[State], wrapper: str, state: Any) -> State:
    """The only state of this kind in a state, wherever it is.

    Args:
        reader: the name of the function that reads it, for errors.
        kind: the type of the state.
        wrapper: the name of the function that makes it, for errors.
        state: the state of a transformation, or any tree that holds it.

    Raises:
        TypeError: a transformation instead of its state. ValueError: there is none, or there are several.
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"{reader} takes a state; got the transformation {state.name}: give what its update returned")
    found = list(_states(kind, state))
    if not found:
        raise ValueError(f"{reader}: there is no state of {wrapper}(...) in {describe(state)}")
    if len(found) > 1:
        places = ", ".join(path_name(path) for path, _ in found)
        raise ValueError(f"{reader}: there are {len(found)} states of {wrapper}(...), at {places}: give one of them")
    return found[0][1]


def filled(what: str, tree: Any, params: Any) -> Any:
    """A tree in the containers of the parameters, with their own leaves where it has None.

    Leaves are matched by their names where the containers differ: flax's nnx keeps the leaves of a state in Variables
    of another type.

    Raises:
        ValueError, TypeError: where the tree does not fit the parameters, naming the leaf.
    """
    leaves, (kept, wanted) = flatten(tree)[0], flatten(params)
    if leaf_names(tree) == leaf_names(params):
        tree = jax.tree.unflatten(wanted, [p if x is None else x for x, p in zip(leaves, kept, strict=True)])
    require_same_tree(what, tree, "parameter", params, same_kind=True)
    return tree


def with_params(what: str, tree: Any, params: Any) -> Any:
    """A tree in the types of the parameters, with their own leaves where it has None. Raises as `filled`."""

    def leaf(p: Any, x: Any) -> Any:
        return x.astype(jnp.result_type(p)) if is_trained(p) else p

    return jax.tree.map(leaf, params, filled(what, tree, params), is_leaf=is_none)


def _states(kind: type[State], tree: Any, path: tuple = (), outside: Any = None) -> Iterator[tuple[tuple, State]]:
    """Every state of this kind with its path, also those inside another one of the kind."""
    nodes = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: isinstance(x, kind) and x is not outside)[0]
    for inner_path, node in nodes:
        if isinstance(node, kind):
            here = (*path, *inner_path)
            yield here, node
            yield from _states(kind, node, here, node)
