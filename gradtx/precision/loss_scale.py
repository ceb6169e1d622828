"""A scale for the loss that keeps float16 gradients away from zero and from infinity."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.closures import Decision
from gradtx.core.errors import at_least_one, finite, in_unit_interval, positive
from gradtx.core.leaves import map_leaves
from gradtx.core.norms import AxisName, on_all, require_axis_name
from gradtx.core.numerics import increment, zero_count
from gradtx.core.schedule import Count, Hyper, Number
from gradtx.core.transformation import Transformation, transformation
from gradtx.wrappers.conditional import all_finite, conditional
from gradtx.wrappers.lookup import the_state


class DynamicLossScaleState(NamedTuple):
    """Fields: scale, finite_steps, skipped, inner."""

    scale: jax.Array  # by which the next loss is to be multiplied, float32 scalar; `initial_scale` at init
    finite_steps: jax.Array  # updates since the scale last changed, int32 scalar; 0 at init
    skipped: jax.Array  # updates that were skipped, int32 scalar; 0 at init
    inner: Any  # the inner transformation's state, as the last update that was not skipped left it


@transformation(any_leaves=True, sparse_rows=True)
def dynamic_loss_scale(
    inner: Transformation,
    initial_scale: Number = 2.0**15,
    growth_factor: Hyper = 2.0,
    backoff_factor: Hyper = 0.5,
    growth_interval: Count = 2000,
    *,
    min_scale: Hyper = 1.0,
    axis_name: AxisName = None,
):
    """Divide gradients of a scaled loss by its scale, make no step where one is not finite, and adapt the scale.

        g = gradient of (loss·scale) / scale, in float32
        scale = max(backoff_factor·scale, min_scale)    where g is not finite; parameters and inner state then stay
        scale = growth_factor·scale                     after growth_interval finite ones in a row, while that is finite

    For models that compute in float16, whose gradients below 6e-8 are 0 and above 65504 infinite; bfloat16 needs none.
    Multiply the loss by `loss_scale(state)`, with the state before the update. `value=`, `grad=` and the like are given
    without the scale. What looks at gradients (a clip, an accumulation, `skip_nonfinite`) belongs inside: what skips an
    overflow outside hides it from the scale; factors that are powers of two
    round nothing.

    Args:
        inner: the transformation; it gets the gradients of the loss itself.
        initial_scale: finite, greater than 0.
        growth_factor: finite, at least 1.
        backoff_factor: in [0, 1].
        growth_interval: updates; whole, at least 1.
        min_scale: finite, greater than 0. A fault of another kind, a NaN in the data, then does not lead to scales from
            which it takes a million updates to come back; torch has no bound, flax 1.2e-38.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the gradients are split:
            what one device finds, all skip.

    State: `DynamicLossScaleState`: scale, float32 scalar, `initial_scale` at init; finite_steps and skipped, int32
        scalars, 0 at init; inner.
    Raises: ValueError: a number out of range. TypeError: an axis that is no name.
    Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.2. The scales are those of torch's `GradScaler`,
        whose names these are, but that it begins at 2¹⁶; flax' `DynamicScale` does too, and grows after one finite
        update more. optax has none.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx, w = gradtx.dynamic_loss_scale(gradtx.sgd(0.5)), jnp.asarray(1.0, jnp.float16)
        >>> state = tx.init(w)
        >>> grad = jax.grad(lambda w, scale: (w * w).astype(jnp.float32) * scale)
        >>> for _ in range(2):  # 2·2¹⁵ is no float16, 2·2¹⁴ is
        ...     w, state = tx.step(grad(w, gradtx.loss_scale(state)), state, w)
        >>> print(w, state.scale, state.skipped)
        0.0 16384.0 1
    """
    positive(initial_scale=initial_scale, min_scale=min_scale)
    finite(initial_scale=initial_scale, min_scale=min_scale)
    at_least_one(growth_factor=growth_factor, growth_interval=growth_interval)
    in_unit_interval(backoff_factor=backoff_factor)
    require_axis_name(axis_name)

    def init(params):
        scale = jnp.array(initial_scale, jnp.float32)
        return DynamicLossScaleState(scale, zero_count(), zero_count(), inner.init(params))

    def decide(updates, state, params=None, **extra):
        scale = jnp.asarray(state.scale)

        def unscaled():
            return map_leaves(lambda g: g / scale, updates)

        def advance(ran, inner_state):
            steps = jnp.where(ran, increment(state.finite_steps), 0)
            grows = steps >= growth_interval
            larger, smaller = scale * jnp.float32(growth_factor), scale * jnp.float32(backoff_factor)
            grown = jnp.where(grows & jnp.isfinite(larger), larger, scale)
            new = jnp.where(ran, grown, jnp.maximum(smaller, jnp.minimum(jnp.float32(min_scale), scale)))
            steps = jnp.where(grows, 0, steps).astype(jnp.int32)
            return DynamicLossScaleState(new, steps, increment(state.skipped, ~ran), inner_state)

        return Decision(on_all(all_finite(unscaled()), axis_name), unscaled, advance)

    return conditional(inner, init, decide)


def loss_scale(state: Any) -> jax.Array:
    """The number by which the next loss is to be multiplied: the scale of a `dynamic_loss_scale(...)`.

    Args:
        state: the state, wherever in it that of `dynamic_loss_scale` is: in a chain, under other wrappers.

    Returns: a float32 scalar. Multiply a float32 loss by it: a float16 one would overflow.
    Raises:
        ValueError: the state holds none, or several. TypeError: no state.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.loss_scale(gradtx.dynamic_loss_scale(gradtx.adam(1e-3)).init(jnp.zeros(2))))
        32768.0
    """
    return the_state("loss_scale", DynamicLossScaleState, "dynamic_loss_scale", state).scale
