"""Gradients that name the rows which they have: `RowSparse`, and how rows are merged, taken and put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.special import SpecialLeaf
from gradtx.sparse.checks import INDEX_MAX, as_array, as_int32, require_intact, require_rows
from gradtx.sparse.idle import NoIdleRuleError, power, wide_dtype


class RowSparse(SpecialLeaf):
    """A gradient that is zero but for some rows, as that of a table from which some rows were looked up.

    It stands in a tree of gradients where the dense array would stand, and goes through every transformation that
    treats each entry by itself, at a cost that follows the rows. A row may be named several times: its values are
    summed, in float32 or wider. `params + update` and `apply_updates` change its rows alone.

    JAX sees two arrays in it, so `jax.tree.map` over gradients would do arithmetic on the indices too: scale gradients
    with `gradtx.map_leaves(lambda g: g / 8, grads)`, and give `g.dense()` where a function wants an array.

    Args:
        indices: of the rows, (k,), integers from 0 to shape[0] - 1. Negative ones do not count from the end. Where they
            are traced they cannot be checked: one out of range turns every value of this gradient into NaN.
        values: what those rows hold, (k, *shape[1:]), real or complex.
        shape: that of the parameter.
        distinct: the promise that the indices rise, none twice; those from shape[0] on are then padding, without a
            row. It saves a sort.

    Raises:
        TypeError: indices that are no integers. ValueError: shapes that do not fit, an index out of range, indices that
        do not rise as promised.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> g = gradtx.RowSparse(jnp.array([2, 0, 2]), jnp.array([[1.0], [5.0], [2.0]]), shape=(4, 1))
        >>> print(g.dense().ravel(), (jnp.ones((4, 1)) + g).ravel())
        [5. 0. 3. 0.] [6. 1. 4. 1.]
    """

    __slots__ = ("distinct", "indices", "shape", "skipped", "values")
    needs = "sparse_rows"
    __array_ufunc__ = None  # so that NumPy leaves `array + g` to us

    indices: Any  # (k,), int32; None: all rows in order, which only `decay_skipped_rows` makes
    values: Any  # (k, *shape[1:])
    skipped: Any  # (k,), int32, or None: steps without gradient before this one; `decay_skipped_rows` fills it in
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
            raise ValueError(f"a RowSparse has fewer than 2**31 rows; got {shape[0]}")
        if not isinstance(indices, Tracer):
            require_rows(np.asarray(indices), shape[0], distinct)
        self.indices, self.values, self.skipped = as_int32(indices, shape[0], distinct), values, None
        self.shape, self.distinct = shape, distinct

    @property
    def dtype(self) -> Any:
        """The type of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """How many axes the dense array has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many entries the dense array has."""
        return math.prod(self.shape)

    def astype(self, dtype: Any) -> RowSparse:
        """The same with values of another type."""
        return self.replaced(self.values.astype(dtype))

    def dense(self) -> jax.Array:
        """The array that it stands for, in the type of the values."""
        return self.values if self.indices is None else jnp.zeros(self.shape, self.dtype) + self

    def refusal(self, piece: str, leaf: str) -> Exception:
        """The error of a piece that needs whole arrays."""
        return TypeError(
            f"{piece} cannot take the RowSparse gradient at {leaf} row by row: give its .dense(), or "
            f"route(...) this leaf to a transformation that can"
        )

    def prepared(self, what: str) -> RowSparse:
        """Each row once; raises TypeError where the arrays in it no longer fit each other."""
        require_intact(what, self)
        return distinct(self)

    def opened(self, others: Sequence[Any], idle: Sequence[Any] | None) -> tuple:
        """Its rows, and those of the others at its indices, after the steps without gradient that they have missed."""
        if any(isinstance(x, RowSparse) for x in others):
            raise TypeError("two RowSparse gradients cannot meet in one leaf function: give .dense() of the second")
        rows = [take(self, jnp.asarray(x)) for x in others]
        if self.skipped is not None and others:
            if idle is None:
                raise NoIdleRuleError
            rows = [x if f is None else self._caught_up(x, f) for x, f in zip(rows, idle, strict=True)]
        return self.values, *rows

    def closed(self, results: tuple, others: Sequence[Any]) -> tuple:
        """A RowSparse of the first result, and the others with the remaining results in their rows."""
        states = (put(self, jnp.asarray(x), new) for x, new in zip(others, results[1:], strict=False))
        return self.with_values(results[0]), *states

    def added_to(self, parameter: Any) -> jax.Array:
        """The parameter plus these rows; all other rows stay, to the bit."""
        return add_rows(parameter, self)

    def entries(self) -> jax.Array:
        """The values, each row once."""
        return distinct(self).values

    def along(self, numbers: jax.Array) -> jax.Array:
        """One number for each row, in a shape that broadcasts over the values."""
        return numbers.reshape(numbers.shape[0], *[1] * (self.ndim - 1))

    def with_values(self, values: jax.Array) -> RowSparse:
        """Other values for the same rows; 0 where it has padding, whatever came out there."""
        if self.indices is not None:
            own = self.along(self.indices < self.shape[0])
            values = jnp.where(own, values, jnp.zeros((), values.dtype))
        return self.replaced(values)

    def replaced(self, values: Any) -> RowSparse:
        """Other values, as they are."""
        return _unflatten((self.shape, self.distinct), (self.indices, values, self.skipped))

    def _caught_up(self, x: jax.Array, factor: Any) -> jax.Array:
        """Rows of a state after the steps without gradient that they have missed: `x·factor^skipped`."""
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
    rows = object.__new__(RowSparse)  # no checks: tools put None, shapes and masks where arrays were
    rows.indices, rows.values, rows.skipped = children
    rows.shape, rows.distinct = aux
    return rows


jax.tree_util.register_pytree_with_keys(RowSparse, _flatten_with_keys, _unflatten, _flatten)


def made(indices: Any, values: Any, shape: tuple[int, ...], *, skipped: Any = None) -> RowSparse:
    """Distinct rows from what is known to fit."""
    return _unflatten((shape, True), (indices, values, skipped))


def distinct(g: RowSparse) -> RowSparse:
    """The same gradient with each row once: rising indices, the values of equal ones summed in float32 or wider.

    There are as many as there can be distinct ones; what is left over has indices from shape[0] on, all of them
    different, and the value 0.
    """
    if g.distinct:
        return g
    count, n = g.indices.shape[0], g.shape[0]
    slots = min(count, n)
    values = g.values.astype(wide_dtype(g.dtype))
    # Outside 0, ..., n - 1 there is no row: such an index is seen in every value, so that no gradient is lost unseen.
    outside = (g.indices < 0) | (g.indices >= n)
    values = jnp.where(jnp.any(outside), jnp.asarray(jnp.nan, values.dtype), values) if count else values
    indices = merged(jnp.where(outside, n, g.indices), slots, n)
    place = jnp.searchsorted(indices, g.indices)  # cheaper than to sort the values along
    return made(indices, jax.ops.segment_sum(values, place, slots), g.shape)


def merged(indices: jax.Array, slots: int, n: int) -> jax.Array:
    """The indices that occur, rising, in so many slots; those left over have n and more, all different."""
    indices = jnp.sort(indices)
    new = jnp.concatenate([jnp.ones_like(indices[:1], bool), indices[1:] != indices[:-1]])
    place = jnp.cumsum(new.astype(jnp.int32)) - 1
    padding = n + jnp.arange(slots, dtype=jnp.int32)
    return padding.at[place].set(indices, mode="drop", indices_are_sorted=True)


def take(g: RowSparse, tree: jax.Array) -> jax.Array:
    """The rows of an array that g has; 0 where g has padding."""
    if g.indices is None:
        return tree
    rows = tree.at[g.indices]
    return rows.get(mode="fill", fill_value=0, indices_are_sorted=True, unique_indices=True)


def put(g: RowSparse, tree: jax.Array, rows: jax.Array) -> jax.Array:
    """The array with other rows where g has them, in its own type; in place where its buffer is donated."""
    rows = rows.astype(tree.dtype)
    if g.indices is None:
        return rows
    return tree.at[g.indices].set(rows, mode="drop", indices_are_sorted=True, unique_indices=True)


def add_rows(p: Any, u: RowSparse) -> jax.Array:
    """p + u in float32 or wider, rounded once to the type of p; rows that u has not are p's own, to the bit."""
    p = jnp.asarray(p)
    if p.shape != u.shape:
        raise ValueError(f"a RowSparse of shape {u.shape} was added to an array of shape {p.shape}")
    if jnp.issubdtype(u.dtype, jnp.complexfloating) and not jnp.iscomplexobj(p):
        raise TypeError(f"a RowSparse of {u.dtype} was added to {p.dtype}: its imaginary part would be lost")
    u = distinct(u)
    wide = wide_dtype(p.dtype, u.dtype)
    return put(u, p, take(u, p).astype(wide) + u.values.astype(wide))
