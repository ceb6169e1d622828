"""An optimizer over the steps of another."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, zero_count
from gradtx.core.pair import require_changeable
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import require_same_tree
from gradtx.errors import at_least_one
from gradtx.wrappers.conditional import only_where
from gradtx.wrappers.lookup import copied


class OuterState(NamedTuple):
    """The state of `outer`.

    steps_since_sync: updates since fast and slow weights met, int32 scalar; 0 at init.
    slow: the slow weights, like params, float32 or wider; a copy of the parameters at init.
    inner: the inner transformation's state.
    outer: the outer transformation's state, made for the slow weights.
    """

    steps_since_sync: jax.Array
    slow: Exact
    inner: Any
    outer: Any


@transformation(any_leaves=True, words={"out": "a step of the slow weights"})
def outer(inner: Transformation, outer_tx: Transformation, every: Count):
    """Let a second optimizer step from where the parameters were to where the first one has taken them.

        w = w + u                              the fast weights: the parameters
        s = s + outer_tx(s - w),   w = s       after each `every`-th update

    The way back, s - w, is the gradient for the outer optimizer; its parameters are the slow weights s. With
    outer_tx = sgd(1.0) the updates are the inner ones, to the bit. With sgd(α) this is `lookahead`, with Nesterov's
    momentum DiLoCo: `diloco`. Schedules in outer_tx see the number of meetings.

    The inner state stays at a meeting; `outer(restart(tx, k), outer_tx, k)` starts it again there.

    Args:
        inner: the optimizer that moves the parameters in every step.
        outer_tx: the optimizer that moves the slow weights: `sgd(0.7, 0.5, nesterov=True)`.
        every: updates between two meetings; a whole number, at least 1.

    State: `OuterState`.
    Raises: ValueError: `every` is below 1, or `params` is not given. TypeError: `every` is not a whole number.
    Source: Douillard et al. 2023 (arXiv:2311.08105), algorithm 1, with one worker; for several, s - w must be averaged
        over them. Not in optax. Within 150 ulp of the largest parameter so far over 1,000 steps in
        float32; an outer momentum multiplies roundings as it does steps, and with 0.9 it is within 1000.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.outer(gradtx.sgd(1.0), gradtx.sgd(0.5), every=2)
        >>> first, state = tx.update(jnp.array(-1.0), tx.init(jnp.array(0.0)), jnp.array(0.0))
        >>> second, state = tx.update(jnp.array(-1.0), state, jnp.array(1.0))
        >>> print(first, second)  # to 1; then to 2, and half the way back
        1.0 0.0
    """
    at_least_one(every=every)
    require_changeable("outer", inner)
    require_changeable("outer", outer_tx)

    def init(params):
        return OuterState(zero_count(), copied(params), inner.init(params), outer_tx.init(copied(params)))

    def update(updates, state, params, **extra):
        updates, inner_state = inner.update(updates, state.inner, params, **inner.extras.taken(extra))
        require_same_tree("update", updates, "parameter", params)
        steps = increment(state.steps_since_sync)
        meet = steps >= every

        def meeting() -> tuple[Any, Any]:
            back = map_leaves(_back, updates, state.slow, params)
            way, outer_state = outer_tx.update(back, state.outer, state.slow, **outer_tx.extras.taken(extra))
            require_same_tree("update of outer_tx", way, "parameter", params)
            new, slow = map_leaves(_onwards, updates, state.slow, back, way)
            return new, (slow, outer_state)

        updates, (slow, outer_state) = only_where(meet, meeting, lambda: updates, (state.slow, state.outer))
        return updates, OuterState(jnp.where(meet, 0, steps), slow, inner_state, outer_state)

    return init, update


def _back(u: jax.Array, slow: jax.Array, w: jax.Array) -> jax.Array:
    """The way from the fast weights back to the slow ones; 0 also where both are the same infinity."""
    fast = w + u
    return jnp.where(fast == slow, 0.0, slow - fast)


def _onwards(u: jax.Array, slow: jax.Array, back: jax.Array, way: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The update that takes the fast weights to the new slow ones, and these."""
    # From the inner update: where the outer optimizer goes all the way, nothing of it is lost, nor the sign of -0.
    rest = back + way
    return jnp.where(rest == 0, u, u + rest), slow + way
