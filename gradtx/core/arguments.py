"""Arguments of a call: when two are equal, what stands for one in a hash, how one is printed."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


class ByValue:
    """An argument that knows itself when it is equal to another, and has a hash."""

    __slots__ = ()


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal: arrays by type, shape and bytes, tracers only to themselves."""
    if a is b:
        return True
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    if _is_array(a) or _is_array(b):
        return _is_array(a) and _is_array(b) and _fingerprint(a) == _fingerprint(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is not type(b):
        return False
    opened = _opened(a), _opened(b)
    if None not in opened:
        return opened[0][1] == opened[1][1] and same(opened[0][0], opened[1][0])
    return bool(a == b)


def frozen(x: Any) -> Hashable:
    """A hashable stand-in for an argument: equal arguments have equal ones."""
    if isinstance(x, Tracer):
        return id(x)
    if _is_array(x):
        return _fingerprint(x)
    if isinstance(x, Mapping):
        return tuple((k, frozen(v)) for k, v in x.items())
    if isinstance(x, tuple | list):
        return tuple(map(frozen, x))
    opened = _opened(x)
    return x if opened is None else (opened[1], frozen(opened[0]))


def show(x: Any) -> str:
    """How an argument is written in the call; a concrete scalar array as an expression that makes it again."""
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
    """The children and the structure of any other container that JAX knows, a dataclass or an nnx.State; else None."""
    if x is None or isinstance(x, ByValue | str | int | float | type) or inspect.isfunction(x):
        return None
    children, structure = jax.tree.flatten(x, is_leaf=lambda y: y is not x)
    return None if jax.tree_util.treedef_is_leaf(structure) else (children, structure)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic)


def _fingerprint(x: Any) -> Hashable:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    x = np.asarray(x)
    return (x.shape, str(x.dtype), x.tobytes())
