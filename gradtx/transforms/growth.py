"""Bounds for the length of updates over time: how fast they grow, and when they begin."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import transformation
from gradtx.core.trees import OwnShapes
from gradtx.errors import at_least_one, not_below_one
from gradtx.transforms.norms import leaf_norm, within
from gradtx.transforms.split import AxisName, map_split, require_axis_name, scalars


class LimitGrowthState(NamedTuple):
    """The state of `limit_growth`."""

    norm: Any  # of each leaf the norm of the last update that was not 0; scalars, float32 or wider; 0 at init


@transformation
def limit_growth(factor: Hyper = 1.01, *, axis_name: AxisName = None):
    """Shorten the update of each leaf so that its norm grows by a factor at most from step to step.

        u = g·min(1, factor·n/‖g‖₂),      n = ‖u‖₂ of the step before;   u = g at the first step

    Updates of zero do not count: the bound after them comes from the last one that was not zero. Those whose norm is
    infinite or NaN pass, and the state ignores them. One that is longer than the bound by a factor of more than 1e38
    becomes 0. With an infinite factor no update changes, to the bit.

    Args:
        factor: the most by which the norm grows; at least 1.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split. The
            norms are then those of all parts.

    State: `LimitGrowthState`: norm, a scalar for each leaf, float32 or wider, 0 at init.
    Raises: ValueError: factor is below 1. TypeError: axis_name is not a name.
    Source: the limiter of Chen et al. 2024 (arXiv:2410.01623), Fira, equation 9, with 1.01; used by APOLLO. After a
        gradient of zero, the norm starts again at 1e-8 in the authors' code. Not in optax. Within 60 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.limit_growth(2.0)
        >>> _, state = tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))
        >>> print(tx.update(jnp.array([30.0, 40.0]), state)[0])
        [6. 8.]
    """
    not_below_one(factor=factor)
    require_axis_name(axis_name)

    def leaf(axes, g, norm):
        now = leaf_norm(g, None, axes)
        known = jnp.isfinite(now)
        bound = jnp.where(known & (norm > 0), factor * jnp.where(norm > 0, norm, 1.0), now)
        kept = within(bound, now)
        after = now * kept  # 0 also where a spike is so large that the factor underflows
        return jnp.where(known, kept, 1.0).astype(g.dtype) * g, jnp.where(known & (after > 0), after, norm)

    def init(params):
        return LimitGrowthState(scalars(params, 0.0))

    def update(updates, state, params=None):
        updates, norm = map_split(leaf, axis_name, updates, OwnShapes(state.norm))
        return updates, LimitGrowthState(norm)

    return init, update


class HoldStillState(NamedTuple):
    """The state of `hold_still`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init


@transformation(any_leaves=True, sparse_rows=True)
def hold_still(steps: Count = 1):
    """Let no parameter move in the first steps, in which transformations in front of it only learn.

        u = 0 in the first `steps` updates, then g

    Args:
        steps: a whole number, at least 1.

    State: `HoldStillState`: count, int32 scalar, 0 at init.
    Raises: ValueError: `steps` is below 1. TypeError: `steps` is not a whole number.
    Source: the authors' code of SOAP, with one step. optax's `conditionally_mask`, with a function of the step.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.hold_still()
        >>> u, state = tx.update(jnp.ones(1), tx.init(jnp.ones(1)))
        >>> print(u, tx.update(jnp.ones(1), state)[0])
        [0.] [1.]
    """
    at_least_one(steps=steps)

    def init(params):
        return HoldStillState(zero_count())

    def update(updates, state, params=None):
        held = state.count < steps
        updates = map_leaves(lambda g: jnp.where(held, jnp.zeros_like(g), g), updates)
        return updates, HoldStillState(increment(state.count))

    return init, update
