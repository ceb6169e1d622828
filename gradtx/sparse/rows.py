"""`RowSparse`, a gradient that holds only some rows; functions to merge rows, and to read and write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.special import SpecialLeaf
from gradtx.sparse.checks import INDEX_MAX, as_array, as_int32, require_intact, require_rows, same_rows
from gradtx.sparse.idle import NoIdleRuleError, power, wide_dtype


class RowSparse(SpecialLeaf):
    """A gradient that is zero except in some rows, such as that of a table from which a few rows were looked up.

    It takes the place of the dense array in a tree of gradients, and passes through every elementwise transformation,
    at a cost proportional to its rows. A row may appear several times: its values are summed, in float32 or wider.
    `params + update` and `apply_updates` change only these rows.

    JAX sees two arrays in it, so `jax.tree.map` over gradients would also change the indices. Scale gradients with
    `gradtx.map_leaves(lambda g: g / 8, grads)`, and pass `g.dense()` to functions that need an array.

    Args:
        indices: indices of the rows, (k,), integers from 0 to shape[0] - 1. Negative indices do not count from the end.
            Traced indices cannot be checked: one out of range turns every value of this gradient into NaN.
        values: values of these rows, (k, *shape[1:]), real or complex.
        shape: shape of the parameter.
        distinct: promises that the indices increase, without repeats; indices of shape[0] or more are then padding, and
            have no row. This saves a sort.

    Raises:
        TypeError: the indices are not integers.
        ValueError: the shapes do not fit, an index is out of range, or the indices do not increase as promised.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> g = gradtx.RowSparse(jnp.array([2, 0, 2]), jnp.array([[1.0], [5.0], [2.0]]), shape=(4, 1))
        >>> print(g.dense().ravel(), (jnp.ones((4, 1)) + g).ravel())
        [5. 0. 3. 0.] [6. 1. 4. 1.]
    """

    __slots__ = ("distinct", "indices", "shape", "skipped", "values")
    needs = "sparse_rows"
    __array_ufunc__ = None  # so that NumPy calls __radd__ for `array + g`

    indices: Any  # (k,), int32; None means all rows in order, and only `decay_skipped_rows` makes that
    values: Any  # (k, *shape[1:])
    skipped: Any  # (k,), int32: steps without gradient before this one, set by `decay_skipped_rows`; else None
    shape: tuple[int, ...]
    distinct: bool

    def __init__(self, indices: Any, values: Any, shape: Sequence[int], *, distinct: bool = False):
        shape = tuple(int(n) for n in shape)
        indices, values = as_array("indices", indices), as_array("values", values)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise TypeError(f"the indices of a RowSparse must be integers; got {indices.dtype}")
        if indices.ndim != 1 or not shape or values.shape != (indices.shape[0], *shape[1:]):
            raise ValueError(
                f"a RowSparse of shape {shape} has indices of shape (k,) and values of shape (k, *{shape[1:]}); "
                f"got {indices.shape} and {values.shape}: use ids.ravel() and values.reshape(ids.size, -1)"
            )
        if shape[0] + indices.shape[0] > INDEX_MAX:
            raise ValueError(f"a RowSparse must have fewer than 2**31 rows; got {shape[0]}")
        if not isinstance(indices, Tracer):
            require_rows(np.asarray(indices), shape[0], distinct)
        self.indices, self.values, self.skipped = as_int32(indices, shape[0], distinct), values, None
        self.shape, self.distinct = shape, distinct

    @property
    def dtype(self) -> Any:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the dense array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries of the dense array."""
        return math.prod(self.shape)

    def astype(self, dtype: Any) -> RowSparse:
        """The same rows with values of another dtype."""
        return self.replaced(self.values.astype(dtype))

    def dense(self) -> jax.Array:
        """The dense array, in the dtype of the values."""
        return self.values if self.indices is None else jnp.zeros(self.shape, self.dtype) + self

    def refusal(self, piece: str, leaf: str) -> Exception:
        """The error of a piece that needs whole arrays."""
        return TypeError(
            f"{piece} cannot take the RowSparse gradient at {leaf} row by row: pass its .dense(), or "
            f"route(...) this leaf to a transformation that can"
        )

    def prepared(self, what: str) -> RowSparse:
        """Each row once; raises TypeError if its arrays no longer fit each other."""
        require_intact(what, self)
        return distinct(self)

    def opened(self, others: Sequence[Any], idle: Sequence[Any] | None) -> tuple:
        """Its rows, and those of `others` at its indices, which first catch up with the skipped steps."""
        rows = [same_rows(self, x) if isinstance(x, RowSparse) else take(self, jnp.asarray(x)) for x in others]
        if self.skipped is not None and others:
            if idle is None:
                raise NoIdleRuleError
            rows = [x if f is None else self._caught_up(x, f) for x, f in zip(rows, idle, strict=True)]
        return self.values, *rows

    def closed(self, results: tuple, others: Sequence[Any]) -> tuple:
        """The first result as a RowSparse, and `others` with the remaining results written into their rows."""
        states = (put(self, jnp.asarray(x), new) for x, new in zip(others, results[1:], strict=False))
        return self.with_values(results[0]), *states

    def added_to(self, parameter: Any) -> jax.Array:
        """The parameter plus these rows; all other rows stay unchanged, to the bit."""
        return add_rows(parameter, self)

    def entries(self) -> jax.Array:
        """The values, each row once."""
        return distinct(self).values

    def along(self, numbers: jax.Array) -> jax.Array:
        """One number for each row, in a shape that broadcasts over the values."""
        return numbers.reshape(numbers.shape[0], *[1] * (self.ndim - 1))

    def with_values(self, values: jax.Array) -> RowSparse:
        """The same rows with other values; padding gets 0, whatever its value was."""
        if self.indices is not None:
            own = self.along(self.indices < self.shape[0])
            values = jnp.where(own, values, jnp.zeros((), values.dtype))
        return self.replaced(values)

    def replaced(self, values: Any) -> RowSparse:
        """The same rows with other values, which are not changed."""
        return _unflatten((self.shape, self.distinct), (self.indices, values, self.skipped))

    def _caught_up(self, x: jax.Array, factor: Any) -> jax.Array:
        """Rows of a state after their skipped steps: `x·factor^skipped`."""
        wide = wide_dtype(x.dtype)
        skipped = self.skipped.astype(jnp.finfo(wide).dtype)
        return x.astype(wide) * self.along(power(factor, skipped)).astype(wide)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, RowSparse) or not hasattr(other, "shape"):
            return NotImplemented
        return add_rows(other, self)

    __radd__ = __add__

    def __repr__(self) -> str:
        of = {"values": self.values, **({} if self.indices is None else {"indices": self.indices})}
        shown = (f"{name}: {getattr(x, 'dtype', type(x).__name__)}{getattr(x, 'shape', '')}" for name, x in of.items())
        return f"<RowSparse of shape {self.shape}, {', '.join(shown)}>"

    def __reduce__(self) -> Any:
        return _unflatten, ((self.shape, self.distinct), (self.indices, self.values, self.skipped))


def _flatten_with_keys(g: RowSparse) -> tuple:
    key = jax.tree_util.GetAttrKey
    children = ((key("indices"), g.indices), (key("values"), g.values), (key("skipped"), g.skipped))
    return children, (g.shape, g.distinct)


def _flatten(g: RowSparse) -> tuple:
    return (g.indices, g.values, g.skipped), (g.shape, g.distinct)


def _unflatten(aux: tuple, children: Any) -> RowSparse:
    rows = object.__new__(RowSparse)  # no checks: JAX and other tools put None, shapes and masks in place of arrays
    rows.indices, rows.values, rows.skipped = children
    rows.shape, rows.distinct = aux
    return rows


jax.tree_util.register_pytree_with_keys(RowSparse, _flatten_with_keys, _unflatten, _flatten)


def made(indices: Any, values: Any, shape: tuple[int, ...], *, skipped: Any = None) -> RowSparse:
    """A RowSparse of distinct rows, without checks."""
    return _unflatten((shape, True), (indices, values, skipped))


def distinct(g: RowSparse) -> RowSparse:
    """The same gradient with each row once: indices increase, and values of equal indices are summed, at least float32.

    The result has as many rows as there can be distinct ones. Unused rows are padding: different indices of shape[0] or
    more, and the value 0.
    """
    if g.distinct:
        return g
    count, n = g.indices.shape[0], g.shape[0]
    slots = min(count, n)
    values = g.values.astype(wide_dtype(g.dtype))
    # An index out of range makes every value NaN, so that no gradient is lost silently.
    outside = (g.indices < 0) | (g.indices >= n)
    values = jnp.where(jnp.any(outside), jnp.asarray(jnp.nan, values.dtype), values) if count else values
    indices = merged(jnp.where(outside, n, g.indices), slots, n)
    place = jnp.searchsorted(indices, g.indices)  # cheaper than sorting the values too
    return made(indices, jax.ops.segment_sum(values, place, slots), g.shape)


def merged(indices: jax.Array, slots: int, n: int) -> jax.Array:
    """The distinct indices, in increasing order, `slots` of them; unused places get different indices >= n."""
    indices = jnp.sort(indices)
    new = jnp.concatenate([jnp.ones_like(indices[:1], bool), indices[1:] != indices[:-1]])
    place = jnp.cumsum(new.astype(jnp.int32)) - 1
    padding = n + jnp.arange(slots, dtype=jnp.int32)
    return padding.at[place].set(indices, mode="drop", indices_are_sorted=True)


def take(g: RowSparse, tree: jax.Array) -> jax.Array:
    """The rows of an array at the indices of g; 0 for padding."""
    if g.indices is None:
        return tree
    rows = tree.at[g.indices]
    return rows.get(mode="fill", fill_value=0, indices_are_sorted=True, unique_indices=True)


def put(g: RowSparse, tree: jax.Array, rows: jax.Array) -> jax.Array:
    """The array with new rows at the indices of g, in its own dtype; written in place if its buffer is donated."""
    rows = rows.astype(tree.dtype)
    if g.indices is None:
        return rows
    return tree.at[g.indices].set(rows, mode="drop", indices_are_sorted=True, unique_indices=True)


def add_rows(p: Any, u: RowSparse) -> jax.Array:
    """p + u in float32 or wider, rounded once to the dtype of p; rows that are not in u stay unchanged, to the bit."""
    p = jnp.asarray(p)
    if p.shape != u.shape:
        raise ValueError(f"a RowSparse of shape {u.shape} was added to an array of shape {p.shape}")
    if jnp.issubdtype(u.dtype, jnp.complexfloating) and not jnp.iscomplexobj(p):
        raise TypeError(f"a RowSparse of {u.dtype} was added to {p.dtype}: its imaginary part would be lost")
    u = distinct(u)
    wide = wide_dtype(p.dtype, u.dtype)
    return put(u, p, take(u, p).astype(wide) + u.values.astype(wide))
