"""`map_leaves`, the one place for arithmetic on leaves: it decides dtypes, leaves, and how often it traces."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.deferred import Deferred, aval_of, called, is_staged, noted
from gradtx.core.special import SpecialLeaf
from gradtx.core.trees import beside, flatten, is_none, is_trained, require_arrays, require_same_tree

_SINGLE, _WIDE = jnp.dtype("float32"), jnp.dtype("float64")


def float_dtype(*trees: Any) -> Any:
    """The real dtype for arithmetic on these leaves: the widest of their dtypes, and at least float32."""
    return _width(frozenset(_dtype_of(x) for x in jax.tree.leaves(trees) if is_trained(x)))


@functools.cache
def _width(dtypes: frozenset) -> Any:
    return _WIDE if any(_real_dtype(dtype) is _WIDE for dtype in dtypes) else _SINGLE


def _dtype_of(x: Any) -> Any:
    return x.dtype if isinstance(x, jax.Array | Deferred) else jnp.result_type(x)  # NumPy may be wider


@functools.cache
def _real_dtype(dtype: Any) -> Any:
    """The real dtype for arithmetic on a leaf of this dtype."""
    return _WIDE if jnp.finfo(dtype).bits == 64 else _SINGLE


@functools.cache
def at_width(dtype: Any, width: Any) -> Any:
    """The real or complex dtype of the same kind as `dtype`, with the precision of the real dtype `width`."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.dtype("complex128" if width.itemsize == 8 else "complex64")
    return width


def zeros(params: Any, *, real: bool = False) -> Any:
    """Return zeros with the structure and shapes of the parameters, in float32 or wider; None for untrained leaves.

    Args:
        params: arrays, numbers, or `jax.ShapeDtypeStruct`s.
        real: whether complex leaves get real zeros, for second moments.
    """
    return full(params, 0.0, real=real)


def full(params: Any, value: Any, *, real: bool = False) -> Any:
    """Return arrays like those of `zeros`, filled with one value."""

    def leaf(p: Any) -> jax.Array | None:
        if not is_trained(p):
            return None
        width = _real_dtype(_dtype_of(p))
        dtype = width if real else at_width(_dtype_of(p), width)
        if isinstance(p, Tracer):
            return _sharded_like(p, jax.lax.full_like(p, value, dtype))
        if type(value) is float and isinstance(p, jax.Array) and not getattr(p, "committed", True):
            return jax.lax.broadcast(np.asarray(value, dtype), p.shape)  # one operation; `full_like` is three
        return jax.lax.full_like(p, value, dtype)

    return jax.tree.map(leaf, params, is_leaf=is_none)


def _sharded_like(p: jax.Array, made: jax.Array) -> jax.Array:
    """A constant with the sharding of a traced parameter; a program of constants alone would run on one device."""
    # The select ties the constant to the parameter; the barrier hides from XLA that it never takes the parameter's
    # entries. JAX's `shard_alike` (0.10) would tie all leaves of one shape to each other.
    never = jax.lax.optimization_barrier(jnp.zeros((), bool))
    like = jax.lax.stop_gradient(p.real if jnp.iscomplexobj(p) and not jnp.iscomplexobj(made) else p)
    return jax.lax.select(never, like.astype(made.dtype), made)


def without_python_numbers(state: Any, updates: Any) -> Any:
    """The state with arrays in place of Python numbers, which tree tools put there; they have no dtype."""
    leaves, structure = jax.tree.flatten(state)
    if not any(type(x) in (bool, int, float) for x in leaves):
        return state
    dtypes = {bool: "bool", int: "int32", float: float_dtype(updates)}
    return jax.tree.unflatten(structure, [jnp.array(x, dtypes[type(x)]) if type(x) in dtypes else x for x in leaves])


def map_leaves(fn: Callable[..., Any], updates: Any, *trees: Any, idle: Sequence[Any] | None = None) -> Any:
    """Apply `fn(g, *others)` to every trained leaf of `updates` and to the corresponding leaves of `trees`.

    * `fn` computes in float32, or in the widest dtype among its leaves. Complex leaves stay complex.
    * `fn` returns one array or several. The first is the new update, in the dtype of the computation. The k-th after it
      is the new value of the k-th tree; it keeps the dtype of that tree, so a state never changes its dtype, and the
      shape.
    * Leaves that are not trained (None, integers, keys, float0) pass through unchanged; `fn` does not see them.
    * For a special leaf such as a `RowSparse`, `fn` gets its rows, (k, ...), and the same rows of the other trees. All
      other rows keep their state, to the bit, and cost nothing.
    * Under a trace, `fn` is traced once for each distinct shape and dtype, not once for each leaf; where a chain joins
      it with its neighbors (`leafwise`), once more to find its types.

    Args:
        fn: a function of arrays of the same shape, one leaf of each tree; it returns arrays of that shape.
        updates: the tree to transform.
        *trees: states or parameters, one for each further argument of `fn`. Errors use the names of these arguments.
            In an `OwnShapes` the leaves may have other shapes than the updates, or be None.
        idle: for each of these trees, the factor by which a step without gradient multiplies it, or None if such a step
            does not change it: `idle=(b1, b2)` for two moments. `decay_skipped_rows` needs it. Leave it out if a step
            without gradient does something else.

    Returns:
        The new updates, or a tuple of trees if `fn` returns several arrays.

    Raises:
        ValueError, TypeError: a tree does not fit the updates; the error names the leaf.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> u, trace = gradtx.map_leaves(lambda g, trace: (g + trace, 0.5 * trace + g), jnp.ones(2), jnp.ones(2))
        >>> print(u, trace)
        [2. 2.] [1.5 1.5]
    """
    leaves, structure = flatten(updates)
    names = _argument_names(fn, len(trees))
    columns = []
    for name, tree in zip(names[1:], trees, strict=True):
        tree = beside(updates, structure, name, tree)
        columns.append(flatten(tree)[0])
    if not all(map(is_trained, leaves)):
        require_arrays("update", updates)
    rows: list[tuple] = list(zip(leaves, *columns, strict=True))
    special = {k: (g.prepared("update"), rows[k][1:]) for k, g in enumerate(leaves) if isinstance(g, SpecialLeaf)}
    for k, (g, others) in special.items():
        rows[k] = g.opened(others, idle)
    on_leaf = _wide(fn)
    first = next((row for row in rows if is_trained(row[0])), None)
    if first is not None and any(isinstance(g, Deferred) for g in leaves):
        avals = [*map(aval_of, first)]
        on_leaf = noted(on_leaf, avals, jax.eval_shape(on_leaf, *avals))
    elif first is not None and any(is_staged(row[0]) for row in rows):
        on_leaf = called(on_leaf, first)
    results: list[tuple] = []
    for row in rows:
        results.append(on_leaf(*row) if is_trained(row[0]) else row)
    for k, (g, others) in special.items():
        results[k] = g.closed(results[k], others)
    count = next((len(row) for row, g in zip(results, leaves, strict=True) if is_trained(g)), 0)
    if not count:  # no leaf is trained: scalars show how many arrays `fn` returns
        count = len(jax.eval_shape(on_leaf, *[jax.ShapeDtypeStruct((), jnp.float32)] * (1 + len(trees))))
    out = tuple(jax.tree.unflatten(structure, [row[k] for row in results]) for k in range(count))
    return out if count > 1 else out[0]


def _wide(fn: Callable) -> Callable:
    """`fn` with casts: inputs to the dtype of the arithmetic, outputs to the dtypes in which they are stored."""

    @functools.wraps(fn)
    def on_leaf(*row: Any) -> tuple[jax.Array | None, ...]:
        row = tuple(x if x is None or isinstance(x, jax.Array) else jnp.asarray(x) for x in row)
        width = float_dtype(*row)
        with jax.numpy_dtype_promotion("standard"):  # a float32 learning rate may meet a float64 leaf
            out = fn(*(None if x is None else _cast(x, at_width(x.dtype, width)) for x in row))
        out = out if isinstance(out, tuple) else (out,)
        if len(out) > len(row):
            raise ValueError(f"{_name(fn)} returned {len(out)} arrays for {len(row)} trees: one new value each at most")
        # None is what a leaf has in the place of an array that it does not have, see `OwnShapes`.
        out = [
            None if k and row[k] is None else _stored(x, row[k] if k else None, row[0].shape, width, fn)
            for k, x in enumerate(out)
        ]
        for k in range(1, len(out)):  # a state that shares a buffer would be deleted when the other array is donated
            known = out[k] is not None and not isinstance(out[k], Tracer)
            if known and any(out[k] is x for x in (*row, *out[:k])):
                out[k] = jnp.array(out[k])
        return tuple(out)

    return on_leaf


def _stored(x: Any, like: jax.Array | None, shape: tuple, width: Any, fn: Callable) -> jax.Array:
    x, shape = jnp.asarray(x), shape if like is None else like.shape
    if x.shape != shape:
        raise ValueError(f"{_name(fn)} returned shape {x.shape} for a leaf of shape {shape}")
    return _cast(x, at_width(x.dtype, width) if like is None else like.dtype)


def _cast(x: jax.Array, dtype: Any) -> jax.Array:
    """x as a strong array of this dtype; outside jit, even a cast that changes nothing takes time."""
    return x if x.dtype == dtype and not x.weak_type else x.astype(dtype)


def _name(fn: Callable) -> str:
    return getattr(fn, "__name__", repr(fn))


def _argument_names(fn: Callable, others: int) -> list[str]:
    parameters = inspect.signature(fn).parameters.values()
    names = [p.name for p in parameters]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):  # `*nu` has the last ones
        names += [names[-1]] * (1 + others - len(names))
    return names if len(names) == 1 + others else ["g", *(f"tree {k + 1}" for k in range(others))]


def apply_updates(params: Any, updates: Any) -> Any:
    """Add the updates to the parameters: `w + u`, in float32 or wider, rounded once to the dtype of `w`.

    Updates stay in float32 or wider until here, whatever the dtype of the gradients: rounding between the members of a
    chain would lose digits, and the result would depend on how the members are grouped.

    Args:
        params: the parameters.
        updates: a tree with the structure of `params`. Leaves that are not trained (integers, keys, None) keep their
            value, and so do rows that are not in a `RowSparse`; if the parameters are donated, only its rows are
            written.

    Raises:
        ValueError, TypeError: a leaf does not fit its parameter; the error names it.

    Source: optax's `apply_updates`, which broadcasts an update that does not fit, and changes integers.
    """
    require_same_tree("update", updates, "parameter", params, same_kind=True)

    def leaf(p: Any, u: Any) -> Any:
        if not is_trained(p):
            return p
        if isinstance(u, Deferred):
            return u.then(_added, (u, p), [aval_of(p)])[0]
        if isinstance(u, SpecialLeaf):
            return u.added_to(p)
        traced = isinstance(p, Tracer) or isinstance(u, Tracer)
        return (_added if traced else _eager_added)(jnp.asarray(u), jnp.asarray(p))[0]

    return jax.tree.map(leaf, params, updates, is_leaf=is_none)


def _added(u: jax.Array, p: jax.Array) -> tuple[jax.Array]:
    wide = at_width(p.dtype, _width(frozenset((p.dtype, u.dtype))))
    return (_cast(jax.lax.add(_cast(p, wide), _cast(u, wide)), p.dtype),)


_eager_added = jax.jit(_added)  # one operation, not four
