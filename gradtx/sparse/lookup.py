"""Gradients of table lookups that hold only the rows that were looked up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe
from gradtx.sparse.checks import INDEX_MAX, nan_without
from gradtx.sparse.rows import made, merged, take
from gradtx.wrappers.rules import first_rules, rule_name, trained_leaves


class TouchedRows:
    """Takes the place of a table inside a loss: it has only the rows that the loss will look up.

    `table[ids]` and `sparse_lookup(table, ids)` return the same rows as for the whole table. Every other use of a
    table needs all its rows, and is an error.

    Fields:
        places: indices of the rows, (k,), as PRNG keys (see `_sealed`).
        rows: values of the rows, (k, *shape[1:]).
        shape: shape of the whole table.
    """

    def __init__(self, places: Any, rows: Any, shape: tuple[int, ...]):
        self.places, self.rows, self.shape = places, rows, shape

    @property
    def dtype(self) -> Any:
        """The dtype of the table."""
        return self.rows.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the table."""
        return len(self.shape)

    @property
    def indices(self) -> jax.Array:
        """The indices of the rows, (k,), int32, in increasing order; those of shape[0] or more are padding."""
        return jax.random.key_data(self.places)[:, 0].astype(jnp.int32)

    def __getitem__(self, ids: Any) -> jax.Array:
        if ids is None or ids is Ellipsis or isinstance(ids, tuple | slice):
            raise TypeError(
                f"in a loss under sparse_value_and_grad, read a table as table[ids] with an array of ids; got {ids!r}"
            )
        ids, indices = _ids(ids, "ids"), self.indices
        if not indices.size:
            return jnp.full((*ids.shape, *self.shape[1:]), jnp.nan, self.dtype)
        place = jnp.minimum(jnp.searchsorted(indices, ids), indices.size - 1)
        known = (indices[place] == ids) & (ids < self.shape[0])
        if not isinstance(known, Tracer) and not bool(known.all()):
            unknown = int(jnp.asarray(ids).ravel()[jnp.argmin(known)])
            raise ValueError(f"the loss looks up the id {unknown}, which is not in `lookups`: add it there")
        return nan_without(known, self.rows[place])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # tools look for such names to find out the type
            raise AttributeError(name)
        raise AttributeError(_only_rows(repr(name)))

    def __jax_array__(self) -> jax.Array:
        raise TypeError(
            _only_rows(
                "jnp.take and other functions of an array",
                "; for jnp.take use gradtx.sparse_lookup(table, ids)",
            )
        )


def _only_rows(what: str, instead: str = "") -> str:
    return (
        f"under sparse_value_and_grad a loss gets only the rows of a table that it looks up, as table[ids]; "
        f"{what} would need all rows{instead}. If the loss uses all rows, leave the table out of `lookups`"
    )


def _arithmetic(name: str) -> Callable[..., Any]:
    def refused(self: Any, *_: Any) -> Any:
        raise TypeError(_only_rows(f"arithmetic ({name})"))

    return refused


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow"):
    setattr(TouchedRows, f"__{_name}__", _arithmetic(_name))
    setattr(TouchedRows, f"__r{_name}__", _arithmetic(_name))


def _flatten_with_keys(t: TouchedRows) -> tuple:
    key = jax.tree_util.GetAttrKey
    return ((key("places"), t.places), (key("rows"), t.rows)), t.shape


def _unflatten(shape: tuple[int, ...], children: Any) -> TouchedRows:
    places, rows = children
    return TouchedRows(places, rows, shape)


jax.tree_util.register_pytree_with_keys(TouchedRows, _flatten_with_keys, _unflatten)


def sparse_lookup(table: Any, ids: Any) -> jax.Array:
    """Return the rows of a table at the given ids: `table[ids]`, but an id without a row is an error or NaN.

    Use it in a loss under `sparse_value_and_grad`, where the table has only the rows that are looked up. Outside such a
    loss, the table is an array and the gradient is dense.

    Args:
        table: (n, ...), an array, or the table that `sparse_value_and_grad` passes to the loss.
        ids: integers from 0 to n - 1, of any shape. Negative ids do not count from the end. Traced ids cannot be
            checked: an id out of range gives a row of NaN, where JAX's own indexing would return another row.

    Raises:
        TypeError: the ids are not integers.
        ValueError: an id is out of range.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.sparse_lookup(jnp.array([[1.0], [2.0], [3.0]]), [[2, 0]]))
        [[[3.]
          [1.]]]
    """
    ids = _ids(ids, "ids", shape_of(table)[0])
    if isinstance(table, TouchedRows):
        return table[ids]
    known = (ids >= 0) & (ids < table.shape[0])
    return nan_without(known, jnp.asarray(table)[jnp.where(known, ids, 0)])


def sparse_value_and_grad(
    loss: Callable[..., Any], lookups: Mapping[Any, Any], *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes a loss and its gradients, where the gradient of a table is a `RowSparse`.

    No array in the computation has the size of the table. You do not change the loss: it reads the table as
    `params["table"][ids]` or `gradtx.sparse_lookup(params["table"], ids)`, and gets the same rows. It may do so several
    times, with parts of the ids, and under vmap, scan or checkpoint. Any other use of the table is an error. An id that
    is not in `lookups` is an error too; if the id is traced, its row is NaN. flax's Embed modules use `jnp.take` and
    check shapes: index the parameter yourself, or call `sparse_lookup`. equinox's Embedding works.

    Args:
        loss: `(params, *args, **kwargs) -> value`, or `-> (value, aux)` with `has_aux`.
        lookups: maps a rule for each table to the ids that the loss looks up in it. The rule is as in `route`
            (`"embedding"`, `"encoder/*/table"`) and must match one leaf. The ids are an array of integers of any shape,
            or a tree of such arrays.
        has_aux: whether the loss returns auxiliary data after its value.

    Returns:
        `(params, *args, **kwargs) -> (value, grads)`, with value as the loss returns it. The gradients are None for
        leaves that are not trained.

    Raises:
        ValueError: a rule matches no leaf or several leaves; an id is out of range (NaN if it is traced).
        TypeError: the ids are not integers; `lookups` is not a mapping.

    Source: the rows are gathered first, and the loss is differentiated with respect to them. A row that is looked up
        twice appears once. torch's `Embedding(sparse=True)` does this in its backward pass.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> params, ids = {"table": jnp.ones((1000, 2)), "bias": jnp.zeros(2)}, jnp.array([7, 3, 7])
        >>> loss = lambda params, ids: jnp.sum(params["table"][ids] + params["bias"])
        >>> value, grads = gradtx.sparse_value_and_grad(loss, {"table": ids})(params, ids)
        >>> print(value, grads["table"].indices, grads["table"].values[:, 0], grads["bias"])
        6.0 [   3    7 1002] [1. 2. 0.] [3. 3.]
    """
    if not isinstance(lookups, Mapping):
        raise TypeError(f'lookups must map each table to its ids: {{"table": ids}}; got {describe(lookups)}')

    @functools.wraps(loss)
    def value_and_grad(params: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        leaves, structure = flatten(params)
        names, touched = leaf_names(params), {}
        for rule, ids in lookups.items():
            place = _one_leaf(rule, params)
            if place in touched:
                raise ValueError(
                    f"sparse_value_and_grad: two rules match {names[place]}; use one, with the ids in a tree"
                )
            touched[place] = _touched(names[place], leaves[place], ids)
        given = {k: touched[k].rows if k in touched else x for k, x in enumerate(leaves) if is_trained(x)}

        def of_trained(trained: dict[int, Any]) -> Any:
            whole = [trained.get(k, x) for k, x in enumerate(leaves)]
            for k, t in touched.items():
                whole[k] = TouchedRows(t.places, whole[k], t.shape)
            return loss(jax.tree.unflatten(structure, whole), *args, **kwargs)

        value, grads = jax.value_and_grad(of_trained, has_aux=has_aux)(given)
        for k, t in touched.items():
            grads[k] = made(t.indices, grads[k], t.shape)
        return value, jax.tree.unflatten(structure, [grads.get(k) for k in range(len(leaves))])

    return value_and_grad


def _one_leaf(rule: Any, params: Any) -> int:
    fits = first_rules("sparse_value_and_grad", [rule], trained_leaves(params, params))
    if len(fits) != 1:
        found = ", ".join(leaf_names(params)[k] for k in list(fits)[:3])
        raise ValueError(f"sparse_value_and_grad: the rule {rule_name(rule)} must match one table; it matches {found}")
    return next(iter(fits))


def _touched(name: str, table: Any, tree: Any) -> TouchedRows:
    table = jnp.asarray(table)
    if not table.ndim:
        raise ValueError(f"the parameter at {name} is a scalar; lookups need a table with at least one axis")
    n = table.shape[0]
    ids = [_ids(x, f"the ids for {name}", n).ravel() for x in jax.tree.leaves(tree)]
    joined = jnp.concatenate(ids) if ids else jnp.zeros((0,), jnp.int32)
    if n + joined.size > INDEX_MAX:
        raise ValueError(f"the table at {name} must have fewer than 2**31 rows; it has {n}")
    # An id out of range gets no row here, so that the loss reads NaN for it.
    indices = merged(jnp.where((joined < 0) | (joined >= n), n, joined), min(joined.size, n), n)
    return TouchedRows(_sealed(indices), take(made(indices, None, table.shape), table), table.shape)


def _sealed(indices: jax.Array) -> jax.Array:
    """The indices as PRNG keys, so that arithmetic on all leaves, as in a penalty on the parameters, is an error."""
    words = indices.astype(jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack([words, words], axis=1), impl="threefry2x32")


def _ids(ids: Any, what: str, n: int | None = None) -> jax.Array:
    """The ids as int32; -1 for an id that int32 cannot hold."""
    ids = jnp.asarray(ids)
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(f"{what} must be integers; got {ids.dtype}")
    if n is not None and not isinstance(ids, Tracer):
        outside = np.asarray(ids)[(np.asarray(ids) < 0) | (np.asarray(ids) >= n)]
        if outside.size:
            raise ValueError(f"{what} must be from 0 to {n - 1}; got {outside[0]}")
    if ids.dtype.itemsize == 8:
        ids = jnp.where((ids >= 0) & (ids <= INDEX_MAX), ids, -1)
    return ids.astype(jnp.int32)
