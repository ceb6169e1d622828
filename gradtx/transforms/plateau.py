"""A step size that decreases when the loss no longer does."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import zero_count
from gradtx.core.transformation import transformation
from gradtx.errors import at_least_one, in_unit_interval, non_negative


class ReduceOnPlateauState(NamedTuple):
    """The state of `reduce_on_plateau`; all fields are scalars, floats are float32 or wider."""

    scale: jax.Array  # the factor in use; float; 1 at init
    best_value: jax.Array  # the best mean so far; float; the largest float at init, so that all states are finite
    plateau_count: jax.Array  # means in a row that were not better; int32; 0 at init
    cooldown_count: jax.Array  # means that will not be counted; int32; 0 at init
    count: jax.Array  # values in the present mean; int32; 0 at init
    avg_value: jax.Array  # the present mean; float; 0 at init


@transformation(any_leaves=True, sparse_rows=True)
def reduce_on_plateau(
    factor: Hyper = 0.1,
    patience: Count = 10,
    rtol: Hyper = 1e-4,
    atol: Hyper = 0.0,
    cooldown: Count = 0,
    accumulation_size: Count = 1,
    min_scale: Hyper = 0.0,
):
    """Multiply the updates by a scale that decreases when a value, such as the loss, no longer does.

        u = scale·g
        better:  v < best - rtol·|best| - atol       then best = v
        after `patience` v in a row that are not better:  scale = max(factor·scale, min_scale)

    v is the mean of `accumulation_size` values. After each reduction, the next `cooldown` v are not counted. NaN is
    never better. `state.scale` is the scale.

    `update` needs `value`, a real scalar: `tx.update(grads, state, params, value=loss)`.

    Args:
        factor: the scale is multiplied by this; in [0, 1].
        patience: how many v in a row that are not better reduce the scale; whole, at least 1.
        rtol: how much lower than the best a better v must be, relative to the best; in [0, 1].
        atol: the same in units of the value; finite, at least 0.
        cooldown: how many v are not counted after a reduction; whole, at least 0.
        accumulation_size: how many values are averaged to one v; whole, at least 1.
        min_scale: the smallest scale; in [0, 1].

    State: `ReduceOnPlateauState`: scale, best_value and avg_value, float32 (or wider) scalars, at init 1, the largest
        float and 0; plateau_count, cooldown_count and count, int32 scalars, 0 at init.
    Raises: ValueError: an argument is out of range; value is not a scalar. TypeError: value is not real.
    Source: torch's `ReduceLROnPlateau`: its patience p is p + 1 here, its threshold modes are rtol and atol, and it
        makes no reduction smaller than 1e-8. optax's `contrib.reduce_on_plateau` does the same for positive values. For
        negative values both multiply the best by 1 - rtol, so that a worse value may count as better. optax allows
        patience = 0 and then reduces the scale at every better value.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.reduce_on_plateau(factor=0.5, patience=2)
        >>> state = tx.init(jnp.zeros(2))
        >>> for loss in (3.0, 2.0, 2.0, 2.0):
        ...     u, state = tx.update(jnp.ones(2), state, value=loss)
        >>> print(u, state.scale)
        [0.5 0.5] 0.5
    """
    in_unit_interval(factor=factor, min_scale=min_scale, rtol=rtol)
    non_negative(atol=atol, cooldown=cooldown)
    at_least_one(patience=patience, accumulation_size=accumulation_size)

    def init(params):
        dtype = float_dtype(params)
        one, worst, zero = (jnp.full((), x, dtype) for x in (1.0, jnp.finfo(dtype).max, 0.0))
        return ReduceOnPlateauState(one, worst, zero_count(), zero_count(), zero_count(), zero)

    def update(updates, state, params=None, *, value):
        dtype = state.scale.dtype
        rel, tol, times, least = (jnp.asarray(x, dtype) for x in (rtol, atol, factor, min_scale))

        count = state.count + 1
        mean = state.avg_value + (_scalar(value, dtype) - state.avg_value) / count.astype(dtype)
        best = state.best_value
        better = mean < best - rel * jnp.abs(best) - tol
        bad = jnp.where(better | (state.cooldown_count > 0), 0, state.plateau_count + 1)
        falls = bad >= jnp.maximum(patience, 1)
        after = ReduceOnPlateauState(
            scale=jnp.where(falls, jnp.maximum(times * state.scale, least), state.scale),
            best_value=jnp.where(better, mean, best),
            plateau_count=jnp.where(falls, 0, bad),
            cooldown_count=jnp.where(falls, cooldown, jnp.maximum(state.cooldown_count - 1, 0)),
            count=zero_count(),
            avg_value=jnp.zeros((), dtype),
        )
        between = state._replace(count=count, avg_value=mean)
        new = jax.tree.map(lambda a, b: jnp.where(count >= accumulation_size, a, b), after, between)
        return map_leaves(lambda g: new.scale * g, updates), new

    return init, update


def _scalar(value: Any, dtype: Any) -> jax.Array:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise TypeError(f"reduce_on_plateau: value must be a number; got {value!r}") from None
    if array.shape != ():
        raise ValueError(f"reduce_on_plateau: value must be a scalar; got an array of shape {array.shape}")
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"reduce_on_plateau: value must be real; got {array.dtype}")
    return array.astype(dtype)
