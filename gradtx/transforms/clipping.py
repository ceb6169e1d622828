"""Clipping: bounds on what a step can be."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.errors import one_of, positive
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.special import SpecialLeaf
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names
from gradtx.transforms.norms import AxisName, device_count, global_norm, leaf_norm, require_axis_name, within


@transformation(any_leaves=True, sparse_rows=True, clips=True)
def clip_by_value(max_delta: Hyper):
    """Cut every entry to an interval round zero.

        u = min(max(g, -max_delta), max_delta)

    Complex entries are cut in modulus, keeping their argument. NaN stays NaN.

    Args:
        max_delta: the bound; greater than 0; the unit of the updates.

    State: none.
    Raises: ValueError: a bound that is not positive.
    Source: optax calls it `clip`; Keras `clipvalue`; torch `clip_grad_value_`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_value(1.0)
        >>> print(tx.update(jnp.array([-3.0, 0.5]), tx.init(jnp.zeros(2)))[0])
        [-1.   0.5]
    """
    positive(max_delta=max_delta)

    def leaf(g):
        if not jnp.iscomplexobj(g):
            return jnp.clip(g, -max_delta, max_delta)
        size = jnp.abs(jnp.where(g == 0, 1.0, g))
        return g * jnp.minimum(1.0, max_delta / size)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_leaves(leaf, updates), state

    return init, update


@transformation(any_leaves=True, sparse_rows=True, clips=True, whole_tree=True)
def clip_by_global_norm(max_norm: Hyper, *, nonfinite: str = "propagate", axis_name: AxisName = None):
    """Shrink all updates by one factor where their norm, taken over the whole tree, is above a bound.

        u = g·min(1, max_norm/‖g‖₂)

    The norm is taken in float32 or wider and does not overflow: gradients of 1e30 are clipped as they should be (above
    8e37 times the bound the factor itself is below the smallest number, and the updates become 0).

    Args:
        max_norm: the bound; greater than 0, infinity switches it off; the unit of the updates.
        nonfinite: what becomes of infinite and NaN entries.
            "propagate": infinite entries come out as NaN and all others as 0; one NaN makes every update NaN.
            "skip": all updates become 0; an optimizer behind makes its step, which `skip_nonfinite(tx)` does not. A
            norm beyond the largest number counts as infinite.
            "zero": they become 0, and the rest is clipped by the norm of the rest.
            "raise": FloatingPointError for the first leaf that has one, where the updates are concrete. Under a trace
            it is a `checkify.debug_check` for each leaf: `checkify.checkify(step)` reports it; elsewhere it costs
            nothing, and they propagate.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the updates are split; the
            norm is then that of all parts, and "skip" skips on all devices. See `global_norm`.

    State: none.
    Raises: ValueError: a bound that is not positive; an unknown policy. TypeError: an axis that is no name.
        FloatingPointError: see `nonfinite`.
    Source: Pascanu et al. 2013 (arXiv:1211.5063), algorithm 1. As optax's, whose norm overflows at 1.8e19 (float32);
        torch adds 1e-6 to the norm, and raises with error_if_nonfinite. Both only propagate else. Within 4 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_global_norm(1.0)
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [0.6 0.8]
    """
    positive(max_norm=max_norm)
    one_of(("propagate", "skip", "zero", "raise"), nonfinite=nonfinite)
    require_axis_name(axis_name)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        if nonfinite == "zero":
            updates = map_leaves(lambda g: jnp.where(jnp.isfinite(g), g, 0.0), updates)
        norm = global_norm(updates, axis_name)
        if nonfinite == "raise":
            _require_finite(updates)
        factor = within(max_norm, norm)
        if nonfinite == "skip":
            finite = jnp.isfinite(norm)
            return map_leaves(lambda g: jnp.where(finite, factor * g, 0.0), updates), state
        return map_leaves(lambda g: factor * g, updates), state

    return init, update


@transformation(clips=True)
def clip_by_leaf_norm(max_norm: Hyper, *, axis_name: AxisName = None):
    """Shrink each leaf where its own norm is above a bound.

        u = g·min(1, max_norm/‖g‖₂)      ‖g‖₂ that of the leaf

    The norm does not overflow. An infinite entry becomes NaN and the others of its leaf 0; a NaN makes its leaf NaN.

    Args:
        max_norm: the bound; greater than 0, infinity switches it off; the unit of the updates.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split; its
            norm is then that of all its parts. A leaf that each device has whole would count once for each.

    State: none.
    Raises: ValueError: a bound that is not positive. TypeError: an axis that is no name.
    Source: Keras calls it `clipnorm`; its norm overflows at 1.8e19. In optax: `clip_by_global_norm` for each leaf.
        Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_leaf_norm(1.0)
        >>> print(tx.update([jnp.array([3.0, 4.0]), jnp.array([0.5])], tx.init([jnp.zeros(2), jnp.zeros(1)]))[0])
        [Array([0.6, 0.8], dtype=float32), Array([0.5], dtype=float32)]
    """
    positive(max_norm=max_norm)
    require_axis_name(axis_name)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_leaves(lambda g: g * within(max_norm, leaf_norm(g, None, axis_name)), updates), state

    return init, update


@transformation(clips=True)
def clip_by_block_rms(threshold: Hyper, *, axis_name: AxisName = None):
    """Shrink each leaf where the root mean square of its entries is above a bound.

        u = g/max(1, RMS(g)/threshold)      RMS(g) = ‖g‖₂/√n, for the n entries of the leaf

    The root mean square does not overflow; infinite and NaN entries as in `clip_by_leaf_norm`.

    Args:
        threshold: the bound; greater than 0, infinity switches it off; the unit of the updates.
        axis_name: as in `clip_by_leaf_norm`; n is then the number of entries of all parts.

    State: none.
    Raises: ValueError: a bound that is not positive. TypeError: an axis that is no name.
    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithm 4, where the threshold is 1. As optax's, whose mean of
        squares overflows at 1.8e19. Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_block_rms(1.0)
        >>> print(tx.update(jnp.array([2.0, 2.0, -2.0, 2.0]), tx.init(jnp.zeros(4)))[0])
        [ 1.  1. -1.  1.]
    """
    positive(threshold=threshold)
    require_axis_name(axis_name)

    def leaf(g):
        entries = max(g.size, 1) * device_count(axis_name)
        return g * within(threshold, leaf_norm(g, None, axis_name) / entries**0.5)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_leaves(leaf, updates), state

    return init, update


def _require_finite(updates: Any) -> None:
    """Raise for the first leaf with an entry that is not finite; of a traced leaf, leave a check to checkify."""
    from jax.experimental import checkify  # here: what few use shall not cost the import of all

    for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True):
        if is_trained(g):
            finite = jnp.all(jnp.isfinite(g.entries() if isinstance(g, SpecialLeaf) else g))
            message = f"clip_by_global_norm: the update at {name} has an infinite or NaN entry"
            if isinstance(finite, Tracer):
                checkify.debug_check(finite, message.replace("{", "{{").replace("}", "}}"))
            elif not finite:
                raise FloatingPointError(message)
