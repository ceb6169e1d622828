"""Moments of rows without gradient, made up for when the row is next touched."""

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
    """Fields: count, touched, inner."""

    count: jax.Array  # updates done, int32 scalar; 0 at init
    touched: Any  # for each leaf of `rows`: the update that last had each row, int32 (rows,), 0 at init; None elsewhere
    inner: Any  # the inner transformation's state


@transformation(sparse_rows=True)
def decay_skipped_rows(inner: Transformation, rows: Any):
    """Give rows that return after some steps the moments that these steps, with a gradient of zero, would have left.

        m ← b^s·m  before the update of a row that was without gradient for s steps

    Without it a row that a `RowSparse` gradient does not name rests, state and all, as in torch's SparseAdam: the
    moments of rare rows are as old as their last gradient. With it they are those of dense gradients, to rounding,
    whenever the row has one; the cost follows the touched rows all the same, and a number a row is kept. The parameters
    still rest in between: what momentum, or weight decay (L2 in front of Adam too), would have done is left out. Adam's
    bias correction goes by the count of all steps, in both modes.

    A dense gradient for such a leaf counts as one for all its rows. Wrappers that leave out steps (`skip_nonfinite`,
    `every`) belong outside: what is left out inside would be counted as a step. Of a decay that follows a schedule, the
    value at the touched step stands for those of the skipped ones.

    Args:
        inner: the transformation. Its pieces must say what a step without gradient does to their state, as those for
            which it multiplies by a number do: momentum, averages, RMSProp, Adam and its kin, Lion, AdaDelta, Adagrad.
        rows: which leaves have gradients that name their rows; all those that come as a `RowSparse`. A mask, as of
            `masked`.

    State: `DecaySkippedRowsState` (count, touched, inner).
    Raises: ValueError: a leaf in `rows` without rows; a `RowSparse` for a leaf that is not; else as `masked`.
        TypeError: a piece inside that does not say what skipped steps do.
    Source: the missing steps in closed form; optax and torch have no counterpart, TensorFlow's Adam decays all rows at
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
                raise ValueError(f"parameter at {leaf_names(params)[k]} is in rows, but has none: it is a scalar")
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
                raise ValueError(f"gradient at {name} is a RowSparse, but not among the rows of decay_skipped_rows")
        new, after = inner.update(jax.tree.unflatten(structure, given), state.inner, params, **extra)
        out = [_like(g, u) for g, u in zip(leaves, flatten(new)[0], strict=True)]
        touched = jax.tree.unflatten(flatten(state.touched)[1], touched)
        return jax.tree.unflatten(structure, out), DecaySkippedRowsState(count, touched, after)

    return init, update


def _with_skipped(g: Any, last: jax.Array, count: jax.Array) -> tuple[RowSparse, jax.Array]:
    """The gradient with the steps that each of its rows has missed, and when the rows were last touched, now."""
    g = distinct(g) if isinstance(g, RowSparse) else made(None, jnp.asarray(g), shape_of(g))
    before = take(g, last)
    now = made(g.indices, g.values, g.shape, skipped=count - 1 - before)
    return now, put(g, last, jnp.broadcast_to(count, before.shape))


def _like(g: Any, u: Any) -> Any:
    """An update in the form of its gradient: dense, or with rows; what was skipped has been made up for."""
    if not isinstance(u, RowSparse):
        return u
    return made(u.indices, u.values, u.shape) if isinstance(g, RowSparse) else u.values
