"""Lookahead: slow weights that follow fast ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import apply_updates, map_leaves
from gradtx.core.numerics import zero_count
from gradtx.core.pair import require_changeable
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained
from gradtx.errors import at_least_one, in_unit_interval
from gradtx.wrappers.conditional import only_where
from gradtx.wrappers.hyperparameters import keep_hyperparameters
from gradtx.wrappers.lookup import copied


class LookaheadState(NamedTuple):
    """The state of `lookahead`.

    steps_since_sync: updates since fast and slow weights met, int32 scalar; 0 at init.
    slow: the slow weights, like params, float32 or wider; a copy of the parameters at init.
    inner: the inner transformation's state.
    """

    steps_since_sync: jax.Array
    slow: Exact
    inner: Any


@transformation(any_leaves=True, words={"out": "back towards the slow weights"})
def lookahead(inner: Transformation, sync_period: Count = 6, slow_step_size: Hyper = 0.5, reset_state: bool = False):
    """Move slow weights towards the parameters after every few updates, and set the parameters back to them.

        w = w + u                                        the fast weights: the parameters
        s = s + slow_step_size·(w - s),   w = s          after every sync_period-th update

    With slow_step_size = 1 the updates are the inner ones, to the bit. The slow weights are part of the state; the
    parameters stay a plain tree.

    Args:
        inner: the transformation that moves the fast weights.
        sync_period: updates between two meetings; a whole number, at least 1.
        slow_step_size: the part of the way that the slow weights go; in [0, 1].
        reset_state: make the inner state again at each meeting, from the parameters there. Schedules go on, and values
            set by `set_hyperparameters` stay.

    State: `LookaheadState`.
    Raises: ValueError: an argument is out of range, or `params` is not given.
    Source: Zhang et al. 2019 (arXiv:1907.08610), algorithm 1, which keeps the inner state at a meeting, as the default
        here. optax's has the same updates; it keeps s with the parameters, in a class of its own, and drops extra
        arguments. Within 150 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.lookahead(gradtx.sgd(1.0), sync_period=2)
        >>> first, state = tx.update(jnp.array(-1.0), tx.init(jnp.array(0.0)), jnp.array(0.0))
        >>> second, state = tx.update(jnp.array(-1.0), state, jnp.array(1.0))
        >>> print(first, second)  # to 1; then to 2, and half the way back
        1.0 0.0
    """
    at_least_one(sync_period=sync_period)
    require_changeable("lookahead", inner)
    in_unit_interval(slow_step_size=slow_step_size)

    def meeting(u: jax.Array, slow: jax.Array, w: jax.Array) -> jax.Array:
        """The update that takes w to the new slow weights, computed from the nearer end."""
        if isinstance(slow_step_size, float) and slow_step_size == 1.0:
            return u  # also where u is -0.0
        away = (w + u) - slow
        to_slow = jnp.where(slow_step_size > 0.5, u - (1.0 - slow_step_size) * away, slow + slow_step_size * away - w)
        return jnp.where(jnp.isinf(slow) & (slow == w), u, to_slow)  # an infinity less itself is NaN

    def init(params):
        return LookaheadState(zero_count(), copied(params), inner.init(params))

    def update(updates, state, params, **extra):
        updates, inner_state = inner.update(updates, state.inner, params, **extra)
        steps = state.steps_since_sync + 1
        meet = steps >= sync_period
        updates = map_leaves(lambda u, slow, w: jnp.where(meet, meeting(u, slow, w), u), updates, state.slow, params)
        # From the updates, and not again from the old slow weights: else XLA copies those, and w.
        updates = _computed(updates)
        _, slow = map_leaves(lambda u, slow, w: (u, jnp.where(meet, w + u, slow)), updates, state.slow, params)
        if reset_state:

            def begun() -> tuple[Any, Any]:
                return (), keep_hyperparameters(inner.init(apply_updates(params, updates)), inner_state)

            _, inner_state = only_where(meet, begun, tuple, inner_state)
        return updates, LookaheadState(jnp.where(meet, 0, steps), slow, inner_state)

    return init, update


def _computed(tree: Any) -> Any:
    """The tree; its trained leaves are computed once, however often they are read."""
    leaves, structure = flatten(tree)
    done = iter(jax.lax.optimization_barrier([x for x in leaves if is_trained(x)]))
    return jax.tree.unflatten(structure, [next(done) if is_trained(x) else x for x in leaves])
