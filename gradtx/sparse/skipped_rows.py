"""Decay the moments of rows that had no gradient, when such a row is touched again."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, leaf_names, shape_of
from gradtx.sparse.rows import RowSparse, distinct, made, put, take
from gradtx.wrappers.masked import selection


class DecaySkippedRowsState(NamedTuple):
    """count: int32 scalar, 0 at init: the number of updates.

    touched: for each leaf of `rows`, int32, (rows,), 0 at init: the last update with a gradient for the row. None for
    other leaves.
    inner: the state of the inner transformation.
    """

    count: jax.Array
    touched: Any
    inner: Any


@transformation(sparse_rows=True)
def decay_skipped_rows(inner: Transformation, rows: Any):
    """Decay the moments of skipped rows as if their gradients had been zero.

        m = b^s·m      before the update of a row that had no gradient for s steps

    Without this wrapper, a row that is not in a `RowSparse` gradient does not change, and neither does its state, as in
    torch's SparseAdam. So the moments of rare rows are as old as their last gradient. With it, whenever a row has a
    gradient, its moments are those of dense gradients, up to rounding. The cost is still proportional to the touched
    rows; the state has one more integer for each row. The parameters do not move in skipped steps: what momentum or
    weight decay would have done (also L2 in front of Adam) is left out. With and without this wrapper, Adam's bias
    correction counts all steps.

    A dense gradient for such a leaf touches all its rows. Put wrappers that leave out steps (`skip_nonfinite`, `every`)
    outside: a step that is left out inside would still be counted. If a decay follows a schedule, its value in the
    touched step is used for the skipped steps.

    Args:
        inner: the transformation. Its pieces must say what a step without gradient does to their state. Those that
            multiply their state by a number do: momentum, averages, RMSProp, Adam and its variants, Lion, AdaDelta,
            Adagrad.
        rows: the leaves with row-sparse gradients, a mask as in `masked`. Every `RowSparse` must be among them.

    State: `DecaySkippedRowsState`.
    Raises:
        ValueError: a leaf in `rows` is a scalar, a `RowSparse` is not in `rows`, or as `masked`.
        TypeError: a piece inside does not say what skipped steps do.
    Source: the skipped steps in closed form. optax and torch have no counterpart. TensorFlow's Adam decays all rows in
        every step, at a dense cost.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.decay_skipped_rows(gradtx.add_momentum(0.5), "table")
        >>> params, one = {"table": jnp.zeros((2, 1))}, jnp.ones((1, 1))
        >>> state = tx.init(params)
        >>> for row in (0, 1, 0):
        ...     updates, state = tx.update({"table": gradtx.RowSparse([row], one, (2, 1))}, state, params)
        >>> print(updates["table"].dense().ravel())  # 0.5²·1 + 1
        [1.25 0.  ]
    """
    selected = selection("decay_skipped_rows", rows)

    def init(params):
        leaves, structure = flatten(params)
        chosen = selected(params, params)
        for k, (p, mine) in enumerate(zip(leaves, chosen, strict=True)):
            if mine and not shape_of(p):
                raise ValueError(f"parameter at {leaf_names(params)[k]} is in rows, but is a scalar, which has no rows")
        pairs = zip(leaves, chosen, strict=True)
        touched = [jnp.zeros(shape_of(p)[:1], jnp.int32) if mine else None for p, mine in pairs]
        return DecaySkippedRowsState(zero_count(), jax.tree.unflatten(structure, touched), inner.init(params))

    def update(updates, state, params=None, **extra):
        leaves, structure = flatten(updates)
        touched, mine = flatten(state.touched)[0], selected(updates, params)
        count = increment(state.count)
        given: list = list(leaves)
        for k, (g, last) in enumerate(zip(leaves, touched, strict=True)):
            if mine[k]:
                given[k], touched[k] = _with_skipped(g, last, count)
            elif isinstance(g, RowSparse):
                name = leaf_names(updates)[k]
                raise ValueError(
                    f"gradient at {name} is a RowSparse, but not in the rows of decay_skipped_rows: add it there"
                )
        new, after = inner.update(jax.tree.unflatten(structure, given), state.inner, params, **extra)
        out = [_like(g, u) for g, u in zip(leaves, flatten(new)[0], strict=True)]
        touched = jax.tree.unflatten(flatten(state.touched)[1], touched)
        return jax.tree.unflatten(structure, out), DecaySkippedRowsState(count, touched, after)

    return init, update


def _with_skipped(g: Any, last: jax.Array, count: jax.Array) -> tuple[RowSparse, jax.Array]:
    """The gradient with the number of skipped steps for each row, and the new `touched`."""
    g = distinct(g) if isinstance(g, RowSparse) else made(None, jnp.asarray(g), shape_of(g))
    before = take(g, last)
    now = made(g.indices, g.values, g.shape, skipped=count - 1 - before)
    return now, put(g, last, jnp.broadcast_to(count, before.shape))


def _like(g: Any, u: Any) -> Any:
    """The update in the form of its gradient, dense or row-sparse, without the count of skipped steps."""
    if not isinstance(u, RowSparse):
        return u
    return made(u.indices, u.values, u.shape) if isinstance(g, RowSparse) else u.values
