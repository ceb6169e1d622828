"""Clipping: bounds on entries and norms of updates."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import times
from gradtx.core.special import SpecialLeaf
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names
from gradtx.errors import not_below_zero, one_of
from gradtx.transforms.norms import global_norm, leaf_norm, within
from gradtx.transforms.split import AxisName, device_count, map_split, own_axes, require_axis_name


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, clips=True)
def clip_by_value(max_delta: Hyper):
    """Clip every entry to the interval from -max_delta to max_delta.

        u = min(max(g, -max_delta), max_delta)

    The modulus of complex entries is clipped; their argument does not change. NaN stays NaN.

    Args:
        max_delta: the bound; at least 0, which gives zeros; in the units of the updates.

    State: none.
    Raises: ValueError: the bound is negative or NaN.
    Source: optax's `clip`, Keras' `clipvalue`, torch's `clip_grad_value_`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_value(1.0)
        >>> print(tx.update(jnp.array([-3.0, 0.5]), tx.init(jnp.zeros(2)))[0])
        [-1.   0.5]
    """
    not_below_zero(max_delta=max_delta)

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


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, clips=True, whole_tree=True)
def clip_by_global_norm(max_norm: Hyper, *, nonfinite: str = "propagate", axis_name: AxisName = None):
    """Multiply all updates by one factor so that the norm of the whole tree does not exceed a bound.

        u = g·min(1, max_norm/‖g‖₂)

    The norm is computed in float32 or wider and does not overflow, so gradients of 1e30 are clipped correctly. Above
    8e37 times the bound the factor is smaller than the smallest number, and the updates become 0.

    Args:
        max_norm: the bound; at least 0, which gives zeros; infinity for no bound; in the units of the updates.
        nonfinite: how infinite and NaN entries are treated.
            "propagate": an infinite entry makes itself NaN and all others 0; one NaN makes every update NaN.
            "skip": all updates become 0. An optimizer behind still makes a step with them; `skip_nonfinite(tx)` does
            not. A norm above the largest number counts as infinite.
            "zero": they become 0, and the rest is clipped by the norm of the rest.
            "raise": outside jit, FloatingPointError for the first leaf that has one. Under a trace, each leaf has a
            `checkify.debug_check`, which `checkify.checkify(step)` reports. Without checkify they propagate, and JAX
            dispatches the step in 0.3 ms instead of 0.04 ms.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the updates are split. The
            norm is then that of all parts, and "skip" skips on all devices. See `global_norm`.

    State: none.
    Raises: ValueError: the bound is negative or NaN; nonfinite is an unknown word. TypeError: axis_name is not a name.
        FloatingPointError: see `nonfinite`.
    Source: Pascanu et al. 2013 (arXiv:1211.5063), algorithm 1. Same as optax, whose norm overflows at 1.8e19 (float32).
        torch adds 1e-6 to the norm, and raises with error_if_nonfinite. Otherwise both propagate non-finite values.
        Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_global_norm(1.0)
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [0.6 0.8]
    """
    not_below_zero(max_norm=max_norm)
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
        return map_leaves(lambda g: times(factor, g), updates), state

    return init, update


@transformation(clips=True)
def clip_by_leaf_norm(max_norm: Hyper, *, axis_name: AxisName = None):
    """Multiply each leaf by a factor so that its norm does not exceed a bound.

        u = g·min(1, max_norm/‖g‖₂)      ‖g‖₂ is the norm of the leaf

    The norm does not overflow. Above 8e37 times the bound the leaf becomes 0, as in `clip_by_global_norm`. An infinite
    entry makes itself NaN and the rest of its leaf 0. A NaN makes its leaf NaN.

    Args:
        max_norm: the bound; at least 0, which gives zeros; infinity for no bound; in the units of the updates.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split. Its
            norm is then that of all parts. For leaves that are whole see `split_over`.

    State: none.
    Raises: ValueError: the bound is negative or NaN. TypeError: axis_name is not a name.
    Source: Keras' `clipnorm`, whose norm overflows at 1.8e19. In optax: `clip_by_global_norm` for each leaf.
        Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_leaf_norm(1.0)
        >>> print(tx.update([jnp.array([3.0, 4.0]), jnp.array([0.5])], tx.init([jnp.zeros(2), jnp.zeros(1)]))[0])
        [Array([0.6, 0.8], dtype=float32), Array([0.5], dtype=float32)]
    """
    not_below_zero(max_norm=max_norm)
    require_axis_name(axis_name)

    def leaf(axes, g):
        return g * within(max_norm, leaf_norm(g, None, axes))

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_split(leaf, axis_name, updates), state

    return init, update


@transformation(clips=True)
def clip_by_block_rms(threshold: Hyper, *, axis_name: AxisName = None):
    """Multiply each leaf by a factor so that the root mean square of its entries does not exceed a bound.

        u = g/max(1, RMS(g)/threshold)      RMS(g) = ‖g‖₂/√n for a leaf of n entries

    The root mean square does not overflow. Above 8e37 times the bound the leaf becomes 0. Infinite and NaN
    entries are treated as in `clip_by_leaf_norm`.

    Args:
        threshold: the bound; at least 0, which gives zeros; infinity for no bound; in the units of the updates.
        axis_name: as in `clip_by_leaf_norm`; n then counts the entries of all parts.

    State: none.
    Raises: ValueError: the bound is negative or NaN. TypeError: axis_name is not a name.
    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithm 4, where the threshold is 1. Same as optax, whose mean of
        squares overflows at 1.8e19. Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_block_rms(1.0)
        >>> print(tx.update(jnp.array([2.0, 2.0, -2.0, 2.0]), tx.init(jnp.zeros(4)))[0])
        [ 1.  1. -1.  1.]
    """
    not_below_zero(threshold=threshold)
    require_axis_name(axis_name)

    def leaf(axes, g):
        entries = max(g.size, 1) * device_count(own_axes(g, axes))
        return g * within(threshold, leaf_norm(g, None, axes) / entries**0.5)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_split(leaf, axis_name, updates), state

    return init, update


def _require_finite(updates: Any) -> None:
    """Raise for the first leaf that has a non-finite entry. For a traced leaf, leave a check for checkify."""
    from jax.experimental import checkify  # rarely used, slow to import

    for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True):
        if is_trained(g):
            finite = jnp.all(jnp.isfinite(g.entries() if isinstance(g, SpecialLeaf) else jnp.asarray(g)))
            message = f"clip_by_global_norm: the update at {name} has an infinite or NaN entry"
            if isinstance(finite, Tracer):
                checkify.debug_check(finite, message.replace("{", "{{").replace("}", "}}"))
            elif not finite:
                raise FloatingPointError(message)
