"""Arguments of a call: how they are compared, hashed and printed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


class ByValue:
    """Base of arguments that define their own equality and hash."""

    __slots__ = ()


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal: arrays by dtype, shape and bytes; a tracer only to itself."""
    return a is b or bool(frozen(a) == frozen(b))


def frozen(x: Any) -> tuple:
    """A flat form of an argument in which equal arguments are equal and have the same hash.

    It has the containers and leaves in the order of a walk through the argument, each container with its keys or
    length. So it is as fast for a deep argument as for a wide one, and no depth exceeds Python's recursion limit.
    """
    form: list[Any] = []
    left = [x]
    while left:
        x = left.pop()
        if isinstance(x, Mapping):
            form.append((Mapping, tuple(x)))
            left += reversed(list(x.values()))
        elif isinstance(x, tuple | list):
            form.append((type(x), len(x)))
            left += reversed(x)
        elif (opened := _opened(x)) is not None:
            children, structure = opened
            form.append(structure)
            left += reversed(children)
        else:
            form.append(_frozen_leaf(x))
    return tuple(form)


def _frozen_leaf(x: Any) -> tuple:
    if isinstance(x, Tracer):
        return Tracer, id(x)
    if isinstance(x, jax.Array | np.ndarray | np.generic):
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        x = np.asarray(x)
        return np.ndarray, x.shape, str(x.dtype), x.tobytes()
    return type(x), x


def show(x: Any) -> str:
    """How an argument is printed; a concrete scalar array is an expression that evaluates to it."""
    texts: list[str] = []
    left = [(False, x)]  # texts and arguments that are still to come, the next one last
    while left:
        is_text, x = left.pop()
        items = [] if is_text else _items(x)
        if items:
            left += reversed(items)
        else:
            texts.append(x if is_text else _shown_leaf(x))
    return "".join(texts)


def _items(x: Any) -> list[tuple[bool, Any]]:
    """The texts (True) and arguments (False) that a dict or tuple is printed from; nothing for others."""
    if type(x) not in (dict, tuple):
        return []
    items: list[tuple[bool, Any]] = []
    for key in x:
        items += [(True, ", "), (False, key)]
        items += [(True, ": "), (False, x[key])] if type(x) is dict else []
    first, last = "{}" if type(x) is dict else ("(", ",)" if len(x) == 1 else ")")
    return [(True, first), *items[1:], (True, last)]


def _shown_leaf(x: Any) -> str:
    if isinstance(x, jax.Array | np.ndarray) and not isinstance(x, Tracer):
        if x.shape == () and not jnp.issubdtype(x.dtype, jax.dtypes.extended):
            return f"jnp.{x.dtype}({float(x)!r})"
        return f"<{x.dtype}{list(x.shape)}>"
    return x.__name__ if isinstance(x, type) or inspect.isfunction(x) else repr(x)


def _opened(x: Any) -> tuple[list, Any] | None:
    """The children and structure of another container that JAX knows (a dataclass, an nnx.State); else None."""
    if x is None or isinstance(x, ByValue | str | int | float | type) or inspect.isfunction(x):
        return None
    children, structure = jax.tree.flatten(x, is_leaf=lambda y: y is not x)
    return None if jax.tree_util.treedef_is_leaf(structure) else (children, structure)
