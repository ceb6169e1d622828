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


def frozen(x: Any) -> Any:
    """A form of an argument in which equal arguments are equal and have the same hash."""
    if isinstance(x, Tracer):
        return Tracer, id(x)
    if isinstance(x, jax.Array | np.ndarray | np.generic):
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        x = np.asarray(x)
        return np.ndarray, x.shape, str(x.dtype), x.tobytes()
    if isinstance(x, Mapping):
        return Mapping, tuple((k, frozen(v)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return type(x), tuple(map(frozen, x))
    opened = _opened(x)
    return (type(x), x) if opened is None else (opened[1], frozen(opened[0]))


def show(x: Any) -> str:
    """How an argument is printed; a concrete scalar array is an expression that evaluates to it."""
    if isinstance(x, jax.Array | np.ndarray) and not isinstance(x, Tracer):
        if x.shape == () and not jnp.issubdtype(x.dtype, jax.dtypes.extended):
            return f"jnp.{x.dtype}({float(x)!r})"
        return f"<{x.dtype}{list(x.shape)}>"
    if isinstance(x, type) or inspect.isfunction(x):
        return x.__name__
    if type(x) is dict:
        return f"{{{', '.join(f'{show(k)}: {show(v)}' for k, v in x.items())}}}"
    if type(x) is tuple:
        return f"({', '.join(map(show, x))}{',' * (len(x) == 1)})"
    return repr(x)


def _opened(x: Any) -> tuple[list, Any] | None:
    """The children and structure of another container that JAX knows (a dataclass, an nnx.State); else None."""
    if x is None or isinstance(x, ByValue | str | int | float | type) or inspect.isfunction(x):
        return None
    children, structure = jax.tree.flatten(x, is_leaf=lambda y: y is not x)
    return None if jax.tree_util.treedef_is_leaf(structure) else (children, structure)
