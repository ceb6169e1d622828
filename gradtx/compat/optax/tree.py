"""Arithmetic on trees under optax's names: `gradtx.compat.optax.tree`."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.compat.optax.tree_moments import (
    bias_correction,
    update_infinity_moment,
    update_moment,
    update_moment_per_elem_norm,
)
from gradtx.compat.optax.tree_random import random_like, split_key_like, unwrap_random_key_data
from gradtx.compat.optax.tree_state import NamedTupleKey, get, get_all_with_path, map_params, set

__all__ = [
    "NamedTupleKey",
    "add",
    "add_scale",
    "allclose",
    "batch_shape",
    "bias_correction",
    "cast",
    "cast_like",
    "clip",
    "conj",
    "div",
    "dtype",
    "full_like",
    "get",
    "get_all_with_path",
    "map_params",
    "max",
    "min",
    "mul",
    "norm",
    "ones_like",
    "random_like",
    "real",
    "scale",
    "set",
    "size",
    "split_key_like",
    "sub",
    "sum",
    "unwrap_random_key_data",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
    "vdot",
    "where",
    "zeros_like",
]

_map = jax.tree.map
_plus: Any = operator.add


def add(tree_x: Any, tree_y: Any, *other_trees: Any) -> Any:
    """The sum of trees."""
    return _map(lambda *xs: functools.reduce(_plus, xs), tree_x, tree_y, *other_trees)


def sub(tree_x: Any, tree_y: Any) -> Any:
    """x - y."""
    return _map(operator.sub, tree_x, tree_y)


def mul(tree_x: Any, tree_y: Any) -> Any:
    """x·y, entry by entry."""
    return _map(operator.mul, tree_x, tree_y)


def div(tree_x: Any, tree_y: Any) -> Any:
    """x/y, entry by entry."""
    return _map(operator.truediv, tree_x, tree_y)


def scale(scalar: Any, tree: Any) -> Any:
    """A number times the tree."""
    return _map(lambda x: scalar * x, tree)


def add_scale(tree_x: Any, scalar: Any, tree_y: Any) -> Any:
    """x + scalar·y."""
    return _map(lambda x, y: None if x is None else x + scalar * y, tree_x, tree_y, is_leaf=lambda x: x is None)


def vdot(tree_x: Any, tree_y: Any) -> Any:
    """The inner product; x is conjugated."""
    precise = functools.partial(jnp.vdot, precision=jax.lax.Precision.HIGHEST)
    return functools.reduce(_plus, jax.tree.leaves(_map(precise, tree_x, tree_y)), 0)


def sum(tree: Any, associative_reduction: bool = False) -> Any:
    """The sum of all entries. With `associative_reduction`, sums of leaves are added in pairs."""
    sums = [jnp.sum(x) for x in jax.tree.leaves(tree)]
    while associative_reduction and len(sums) > 1:
        pairs = [a + b for a, b in zip(sums[::2], sums[1::2], strict=False)]
        sums = pairs + sums[len(pairs) * 2 :]
    return functools.reduce(_plus, sums, 0)


def max(tree: Any) -> Any:
    """The largest entry; -inf of a tree without entries."""
    found = [jnp.max(x) for x in jax.tree.leaves(tree) if jnp.size(x)]
    return functools.reduce(jnp.maximum, found) if found else -jnp.inf


def min(tree: Any) -> Any:
    """The least entry; inf of a tree without entries."""
    found = [jnp.min(x) for x in jax.tree.leaves(tree) if jnp.size(x)]
    return functools.reduce(jnp.minimum, found) if found else jnp.inf


def size(tree: Any) -> int:
    """The number of entries."""
    return functools.reduce(_plus, [jnp.size(x) for x in jax.tree.leaves(tree)], 0)


def conj(tree: Any) -> Any:
    """The complex conjugate."""
    return _map(jnp.conj, tree)


def real(tree: Any) -> Any:
    """The real part."""
    return _map(jnp.real, tree)


def norm(tree: Any, ord: int | str | float | None = None, squared: bool = False) -> jax.Array:
    """The norm of all entries as one vector, of order 1, 2 (None) or infinity."""
    if ord is None or ord == 2:
        square = jnp.asarray(sum(_map(lambda x: jnp.real(x * jnp.conj(x)), tree)))
        return square if squared else jnp.sqrt(square)
    if ord == 1:
        found = sum(_map(jnp.abs, tree))
    elif ord in (jnp.inf, "inf", "infinity"):
        found = max(_map(jnp.abs, tree))
    else:
        raise ValueError(f"Unsupported ord: {ord}; give None, 1, 2 or inf")
    return jnp.asarray(found**2 if squared else found)


def batch_shape(tree: Any, shape: tuple[int, ...] = ()) -> Any:
    """Each leaf repeated along new axes in front."""
    return _map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), tree)


def zeros_like(tree: Any, dtype: Any = None) -> Any:
    """Zeros like the tree."""
    return _map(lambda x: jnp.zeros_like(x, dtype=dtype), tree)


def ones_like(tree: Any, dtype: Any = None) -> Any:
    """Ones like the tree."""
    return _map(lambda x: jnp.ones_like(x, dtype=dtype), tree)


def full_like(tree: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value, like the tree."""
    return _map(lambda x: jnp.full_like(x, fill_value, dtype=dtype), tree)


def clip(tree: Any, min_value: Any = None, max_value: Any = None) -> Any:
    """Each entry cut at two bounds."""
    return _map(lambda x: jnp.clip(x, min_value, max_value), tree)


def where(condition: Any, tree_x: Any, tree_y: Any) -> Any:
    """x where the condition is true, else y."""
    return _map(lambda x, y: jnp.where(condition, x, y), tree_x, tree_y)


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all entries are close to each other."""
    same = _map(lambda x, y: jnp.allclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan), a, b)
    return functools.reduce(operator.and_, jax.tree.leaves(same), True)


def cast(tree: Any, dtype: Any) -> Any:
    """The tree in a dtype; None changes nothing."""
    return tree if dtype is None else _map(lambda x: x.astype(dtype), tree)


def cast_like(tree: Any, other_tree: Any) -> Any:
    """The tree in the dtypes of another."""
    return _map(lambda x, like: x.astype(jnp.asarray(like).dtype), tree, other_tree)


def dtype(tree: Any, mixed_dtype_handler: str | None = None) -> Any:
    """The dtype of all leaves; of several the "highest", the "lowest", or what they "promote" to."""
    found = [jnp.asarray(x).dtype for x in jax.tree.leaves(tree)]
    if not found:
        return jnp.asarray(0.0).dtype
    if mixed_dtype_handler == "promote":
        return functools.reduce(jnp.promote_types, found)
    if mixed_dtype_handler in ("highest", "lowest"):
        return functools.reduce(functools.partial(_ordered, mixed_dtype_handler == "highest"), found)
    if mixed_dtype_handler is not None:
        raise ValueError(f'{mixed_dtype_handler=}; give None, "promote", "highest" or "lowest"')
    for other in found:
        if other != found[0]:
            raise ValueError(f"Expected dtype={found[0]} everywhere, but a leaf has {other}")
    return found[0]


def _ordered(highest: bool, a: Any, b: Any) -> Any:
    both = jnp.promote_types(a, b)
    if both not in (a, b):
        raise ValueError(f"Cannot compare {a} and {b}: neither can be promoted to the other")
    lower = b if both == a else a
    return both if highest else lower
