"""Loss scaling: keeps float16 gradients from becoming zero or infinite."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper, Number
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import at_least_one, finite, in_unit_interval, ordered, positive
from gradtx.transforms.split import AxisName, on_all, require_axis_name
from gradtx.wrappers.conditional import Decision, all_finite, conditional
from gradtx.wrappers.lookup import the_state


class DynamicLossScaleState(NamedTuple):
    """The state of `dynamic_loss_scale`.

    scale: the factor for the next loss, float32 scalar; `initial_scale` at init.
    finite_steps: finite updates since the scale last changed, int32 scalar; 0 at init.
    skipped: updates that were skipped, int32 scalar; 0 at init.
    inner: the inner transformation's state. A skipped update leaves it unchanged.
    """

    scale: jax.Array
    finite_steps: jax.Array
    skipped: jax.Array
    inner: Any


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: a gradient is not finite"})
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
    """Divide the gradients of a scaled loss by the scale, skip steps that are not finite, and adapt the scale.

        g = gradient of (loss·scale) / scale, in float32
        scale = max(backoff_factor·scale, min_scale)    where g is not finite; parameters and inner state do not change
        scale = growth_factor·scale                     after growth_interval finite g in a row, unless it overflows

    For models that compute in float16, whose gradients are 0 below 6e-8 and infinite above 65504. bfloat16 does not
    need it. Multiply the loss by `loss_scale(state)`, with the state before the update; pass `value=`, `grad=` and
    other extra arguments unscaled. Put everything that looks at gradients (a clip, `accumulate`, `skip_nonfinite`)
    inside: a skip outside would hide overflows from the scale. Factors that are powers of two cause no rounding.

    Args:
        inner: the transformation. It gets the gradients of the unscaled loss.
        initial_scale: finite, greater than 0, at least min_scale.
        growth_factor: finite, at least 1.
        backoff_factor: in [0, 1].
        growth_interval: finite updates before the scale grows; a whole number, at least 1.
        min_scale: finite, greater than 0. It bounds the scale when gradients are not finite for another reason, as a
            NaN in the data: from a tiny scale it would take a million updates to come back. torch has no bound, flax
            1.2e-38.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the gradients are split: all
            devices skip what one of them finds.

    State: `DynamicLossScaleState`.
    Raises: ValueError: a number is out of range. TypeError: `axis_name` is not a name.
    Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.2. Names and scales are those of torch's
        `GradScaler`, which starts at 2¹⁶. flax's `DynamicScale` starts at 2¹⁶ too, and grows one finite update later.
        Not in optax.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx, w = gradtx.dynamic_loss_scale(gradtx.sgd(0.5)), jnp.asarray(1.0, jnp.float16)
        >>> state = tx.init(w)
        >>> grad = jax.grad(lambda w, scale: (w * w).astype(jnp.float32) * scale)
        >>> for _ in range(2):  # 2·2¹⁵ overflows float16, 2·2¹⁴ does not
        ...     w, state = tx.step(grad(w, gradtx.loss_scale(state)), state, w)
        >>> print(w, state.scale, state.skipped)
        0.0 16384.0 1
    """
    positive(initial_scale=initial_scale, min_scale=min_scale)
    finite(initial_scale=initial_scale, min_scale=min_scale)
    ordered(min_scale=min_scale, initial_scale=initial_scale)
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
    """The factor for the next loss: the scale of a `dynamic_loss_scale(...)`.

    Args:
        state: the state of a transformation with a `dynamic_loss_scale` anywhere in it: in a chain, in other wrappers.

    Returns: a float32 scalar. Multiply a float32 loss by it: a float16 loss would overflow.
    Raises: ValueError: there is no such state, or there are several. TypeError: `state` is a transformation.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.loss_scale(gradtx.dynamic_loss_scale(gradtx.adam(1e-3)).init(jnp.zeros(2))))
        32768.0
    """
    return the_state("loss_scale", DynamicLossScaleState, "dynamic_loss_scale", state).scale
