"""An optimizer that starts again from time to time."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import increment, zero_count
from gradtx.core.pair import require_changeable
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import at_least_one, concrete, non_negative
from gradtx.roles import random_keys
from gradtx.wrappers.conditional import only_where
from gradtx.wrappers.hyperparameters import keep_hyperparameters


class RestartState(NamedTuple):
    """The state of `restart`.

    count: updates since the inner state was made, int32 scalar; 0 at init.
    restarts: how often it was made anew, int32 scalar; 0 at init.
    inner: the inner transformation's state.
    """

    count: jax.Array
    restarts: jax.Array
    inner: Any


@transformation(any_leaves=True)
def restart(inner: Transformation, every: Count | None = None, warmup: Count = 0):
    """Reset the state of a transformation after every few updates, and then let its updates grow from small ones.

        state = init(w)                     before the updates every + 1, 2·every + 1, ...
        u = c·u,   c = sin²(π/2·n/warmup)   for the n-th update after such a restart, n <= warmup; else c = 1

    Means and squares are forgotten, so that a spike among the gradients is. Schedules go on, and values set by
    `set_hyperparameters` stay. Random keys of gradtx, as that of `add_noise`, become other ones, made of the old: each
    period has random numbers of its own. Those of optax begin again, and so do the random bases of `in_frame` and the
    random roundings of `store`. The first updates of all are not made smaller; a schedule can do that.

    Args:
        inner: the transformation. Its state is made from the parameters as they are then.
        every: updates between two restarts; a whole number, at least 1. With None there are none, and the updates are
            the inner ones, to the bit.
        warmup: updates after a restart that are made smaller; a whole number, at least 0.

    State: `RestartState`.
    Raises: ValueError: an argument is out of range, or `params` is not given. TypeError: it is not a whole number.
    Source: Huang et al. 2025 (arXiv:2501.06842), section 4: momentum reset. Their code makes the first update after a
        restart one hundredth, and then lets it grow along half a cosine, as here. Not in optax. It adds no rounding to
        the inner transformation besides the product: within 2 ulp of it.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.restart(gradtx.ema(0.5, debias=False), every=2), jnp.array(0.0)
        >>> state = tx.init(w)
        >>> for _ in range(3):
        ...     u, state = tx.update(jnp.array(1.0), state, w)
        ...     print(u)
        0.5
        0.75
        0.5
    """
    at_least_one(every=every)
    non_negative(warmup=warmup)
    grows = every is not None and concrete(warmup) != 0
    if grows:
        require_changeable("restart", inner)

    def init(params):
        return RestartState(zero_count(), zero_count(), inner.init(params))

    def update(updates, state, params, **extra):
        before, restarts, count = state.inner, state.restarts, state.count
        if every is not None:
            due = count >= every

            def anew() -> tuple[Any, Any]:
                return (), _other_keys(keep_hyperparameters(inner.init(params), before), before)

            _, before = only_where(due, anew, tuple, before)
            restarts, count = increment(restarts, due), jnp.where(due, 0, count)
        count = increment(count)
        updates, after = inner.update(updates, before, params, **extra)
        if grows:
            width = float_dtype(updates)
            share = count.astype(width) / jnp.maximum(jnp.asarray(warmup, width), 1)
            small = (restarts > 0) & (count < warmup)
            factor = jnp.where(small, jnp.sin(share * (jnp.pi / 2)) ** 2, 1.0).astype(width)
            updates = map_leaves(lambda u: factor * u, updates)
        return updates, RestartState(count, restarts, after)

    return init, update


def _other_keys(fresh: Any, old: Any) -> Any:
    """A new state whose random keys are made from those of an old one, so that they differ."""

    def at(new: Any, node: Any) -> Any:
        keys = random_keys(type(new))
        if not keys:
            return new
        others = {f: _other_keys(getattr(new, f), getattr(node, f)) for f in new._fields if f not in keys}
        return new._replace(**others, **{f: _another_key(getattr(node, f)) for f in keys})

    return jax.tree.map(at, fresh, old, is_leaf=lambda x: bool(random_keys(type(x))))


def _another_key(data: jax.Array) -> jax.Array:
    """Another key, as data, whatever its implementation; counts that are folded into a key are below 2³²-1."""
    halves = jax.random.wrap_key_data(data.reshape(-1, 2), impl="threefry2x32")
    return jax.random.key_data(jax.vmap(lambda key: jax.random.fold_in(key, 2**32 - 1))(halves)).reshape(data.shape)
