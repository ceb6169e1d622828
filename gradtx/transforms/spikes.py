"""Gradients that stand out against those before them: bounds from a running maximum, sizes from running norms."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.numerics import bias_correction, ema, increment, quotient, safe_sqrt, zero_count
from gradtx.core.transformation import transformation
from gradtx.core.trees import OwnShapes
from gradtx.errors import below_one, non_negative
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.split import AxisName, map_split, names_of, own_axes, require_axis_name, scalars


class ClipByRunningMaxState(NamedTuple):
    """The state of `clip_by_running_max`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    largest: Any  # of each leaf the running mean M of max|g|; scalars, float32 or wider; 0 at init
    ignored: Any  # of each leaf how many updates were infinite or NaN; scalars, float32 or wider; 0 at init


class ScaleByRunningNormState(NamedTuple):
    """The state of `scale_by_running_norm`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mean: Any  # of each leaf the running mean m of ‖g‖; scalars, float32 or wider; 0 at init
    rms: Any  # of each leaf the running root mean square r of ‖g‖; scalars, float32 or wider; 0 at init
    ignored: Any  # of each leaf how many norms were infinite or NaN; scalars, float32 or wider; 0 at init


@transformation
def clip_by_running_max(decay: Hyper = 0.999, *, axis_name: AxisName = None):
    """Make the entries of each leaf smaller that are above a running mean of its largest entries.

        M = decay·M + (1 - decay)·max|g|,   M̂ = M/(1 - decay^t)
        u = g·M̂/max|g|   where |g| > M̂,   else g

    Updates of a leaf with an infinite or NaN entry pass. M ignores them, and t does not count them.

    Args:
        decay: the weight of the past; in [0, 1). With 0 no update changes.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which leaves are split.

    State: `ClipByRunningMaxState`: count, int32 scalar; largest and ignored, a scalar for each leaf, float32 or wider;
        0 at init.
    Raises: ValueError: decay is outside [0, 1). TypeError: axis_name is not a name.
    Source: AdaClip of Huang et al. 2025 (arXiv:2502.17055), Stable-SPAM. Not in optax. Within 30 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.clip_by_running_max(0.5)
        >>> _, state = tx.update(jnp.array([1.0, 0.5]), tx.init(jnp.zeros(2)))
        >>> print(tx.update(jnp.array([4.0, 0.5]), state)[0])  # M̂ = (1 + 2·4)/3
        [3.  0.5]
    """
    below_one(decay=decay)
    require_axis_name(axis_name)

    def init(params):
        return ClipByRunningMaxState(zero_count(), scalars(params, 0.0), scalars(params, 0.0))

    def update(updates, state, params=None):
        t = increment(state.count)

        def leaf(axes, g, largest, ignored):
            now = _largest(g, axes)
            known = jnp.isfinite(now)
            new, ignored = jnp.where(known, ema(largest, jnp.where(known, now, 0.0), decay), largest), ignored + ~known
            bound = new / bias_correction(decay, _counted(t, ignored), new.dtype)
            share = jnp.where(known & (now > bound), quotient(bound, now), 1.0)
            return jnp.where(jnp.abs(g) > bound, g * share.astype(g.dtype), g), new, ignored

        updates, *new = map_split(leaf, axis_name, updates, OwnShapes(state.largest), OwnShapes(state.ignored))
        return updates, ClipByRunningMaxState(t, *new)

    return init, update


@transformation
def scale_by_running_norm(b1: Hyper = 0.7, b2: Hyper = 0.9, eps: Hyper = 1e-6, *, axis_name: AxisName = None):
    """Give the update of each leaf the size of a running mean of its norms, over the root of that of their squares.

        m = b1·m + (1 - b1)·‖g‖₂,   r² = b2·r² + (1 - b2)·‖g‖₂²
        u = g/‖g‖₂·m̂/(r̂ + eps),     m̂ = m/(1 - b1^t),   r̂ = r/√(1 - b2^t)

    So the norm of an update is 1, except for changes over time. A spike is damped; the updates after it are not. The
    state keeps r, so that the square of a large norm does not overflow. Updates of a leaf whose norm is infinite or NaN
    pass as they are: m and r ignore them, and t does not count them.

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: the weight of the past in r²; in [0, 1).
        eps: keeps the divisor from zero; finite, at least 0; in the units of the gradient.
        axis_name: as in `clip_by_running_max`.

    State: `ScaleByRunningNormState`: count, int32 scalar; mean, rms and ignored, a scalar for each leaf, float32 or
        wider; 0 at init.
    Raises: ValueError: an argument is out of range. TypeError: axis_name is not a name.
    Source: AdaGN of Huang et al. 2025 (arXiv:2502.17055), Stable-SPAM. Not in optax. Within 30 ulp of exact arithmetic
        over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_running_norm(eps=0.0)
        >>> _, state = tx.update(jnp.array([1.0, 0.0]), tx.init(jnp.zeros(2)))
        >>> print(tx.update(jnp.array([0.0, 100.0]), state)[0].round(2))  # a spike, of which less than 1 is left
        [0.   0.82]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps)
    require_axis_name(axis_name)

    def init(params):
        return ScaleByRunningNormState(zero_count(), *(scalars(params, 0.0) for _ in range(3)))

    def update(updates, state, params=None):
        t = increment(state.count)

        def leaf(axes, g, mean, rms, ignored):
            norm = leaf_norm(g, None, axes)
            known = jnp.isfinite(norm)
            norm, ignored = jnp.where(known, norm, 0.0), ignored + ~known
            n = _counted(t, ignored)
            c1, c2 = bias_correction(b1, n, norm.dtype), safe_sqrt(bias_correction(b2, n, norm.dtype))
            mean = jnp.where(known, ema(mean, norm, b1), mean)
            unit = jnp.maximum(rms, norm)
            unit = jnp.where(unit > 0, unit, 1.0)
            root = safe_sqrt(ema(jnp.square(rms / unit), jnp.square(norm / unit), b2))
            rms = jnp.where(known, unit * root, rms)
            # Of both the same share: the reciprocal of a norm near the largest number is not a normal number.
            share = jnp.where(norm > float(jnp.finfo(norm.dtype).max) / 64, 1 / 64, 1.0).astype(norm.dtype)
            direction = quotient(g * share.astype(g.dtype), jnp.broadcast_to(norm * share, g.shape).astype(g.dtype))
            u = direction * quotient(mean / c1, rms / c2 + eps).astype(g.dtype)
            return jnp.where(known, u, g), mean, rms, ignored

        updates, *new = map_split(leaf, axis_name, updates, *map(OwnShapes, (state.mean, state.rms, state.ignored)))
        return updates, ScaleByRunningNormState(t, *new)

    return init, update


def _counted(t: jax.Array, ignored: jax.Array) -> jax.Array:
    """How many updates a leaf has counted; 1 where there are none, so that no bias correction is 0."""
    return jnp.maximum(t.astype(ignored.dtype) - ignored, 1.0)


def _largest(g: jax.Array, axes: AxisName) -> jax.Array:
    """The largest size of an entry, on all devices; 0 for a leaf without entries."""
    here, names = jnp.max(jnp.abs(g), initial=0.0), names_of(own_axes(g, axes))
    return here if names is None else jax.lax.pmax(here, names)
