"""Filters of gradients, to put in front of other pieces: lookahead, variance reduction, slow parts made larger."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import ema, increment, zero_count
from gradtx.core.states import Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, non_negative, not_below_zero
from gradtx.transforms.norms import leaf_norm, within
from gradtx.transforms.split import AxisName, map_split, require_axis_name


class NesterovEmaState(NamedTuple):
    """The state of `nesterov_ema`."""

    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init


class PreviousGradientState(NamedTuple):
    """The state of `reduce_variance` and `scale_by_optimistic_gradient`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    previous_gradient: Signed  # the last g; like params, float32 or wider; 0 at init


class AmplifySlowState(NamedTuple):
    """The state of `amplify_slow`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g, which begins at the first g; like params, float32 or wider; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def nesterov_ema(decay: Hyper = 0.95):
    """Replace the updates by their running mean, taken one step ahead.

        m = decay·m + (1 - decay)·g
        u = decay·m + (1 - decay)·g

    The mean begins at 0 and is not corrected for it: the first update is (1 - decay²)·g.

    Args:
        decay: the weight of the past; in [0, 1]; with 0 the updates do not change.

    State: `NesterovEmaState`: mu, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay is outside [0, 1].
    Source: the momentum of Muon (Jordan et al. 2024, on kellerjordan.github.io). It is
        `add_nesterov_momentum(decay)` times 1 - decay. Not in optax. Within 60 ulp of exact arithmetic over 1,000 steps
        in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.nesterov_ema(0.5)
        >>> print(tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))[0])
        0.75
    """
    in_unit_interval(decay=decay)
    averages = not (isinstance(decay, float) and decay == 0.0)

    def init(params):
        return NesterovEmaState(mu=zeros(params))

    def update(updates, state, params=None):
        def leaf(g, mu):
            mu = ema(mu, g, decay)
            return ema(mu, g, decay) if averages else g, mu

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(decay,))
        return updates, NesterovEmaState(mu)

    return init, update


@transformation
def reduce_variance(gamma: Hyper = 0.025, decay: Hyper = 0.95, max_norm: Hyper = 1.0, *, axis_name: AxisName = None):
    """Add to each gradient a multiple of its change since the last step, which lowers the variance of their mean.

        c = g + gamma·decay/(1 - decay)·(g - g')       g' is the last g; at the first step c = g
        u = c·min(1, max_norm/‖c‖₂)                   the norm of the leaf

    Put it in front of a running mean with the same `decay`. With gamma = 0 and max_norm = infinity the updates do not
    change. Above 8e37 times the bound the leaf becomes 0, as in `clip_by_leaf_norm`.

    Args:
        gamma: how much of the correction is used; finite, at least 0.
        decay: the weight of the past in the running mean that follows; in [0, 1).
        max_norm: the bound of the norm; at least 0; infinity for none; in the units of the gradient.
        axis_name: as in `clip_by_leaf_norm`.

    State: `PreviousGradientState`: count, int32 scalar; previous_gradient, like params, float32 or wider; 0 at init.
    Raises: ValueError: an argument is out of range. TypeError: axis_name is not a name.
    Source: Yuan et al. 2024 (arXiv:2411.10438), the corrected gradient of MARS, in the approximate form: exact MARS
        takes g' at the last parameters with the present batch. The authors' code begins with g' = 0, so that its first
        c is 1.475·g, before the bound. Not in optax. Within 8 ulp of exact arithmetic over 1,000 steps in float32,
        relative to the largest term.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.reduce_variance(gamma=0.5, decay=0.5, max_norm=jnp.inf)
        >>> _, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(tx.update(jnp.array(3.0), state)[0])
        4.0
    """
    non_negative(gamma=gamma)
    below_one(decay=decay)
    not_below_zero(max_norm=max_norm)
    require_axis_name(axis_name)
    changes = not (isinstance(gamma, float) and gamma == 0.0)

    def update(updates, state, params=None):
        factor = jnp.where(state.count == 0, 0.0, gamma * decay / (1.0 - decay))

        def leaf(axes, g, previous_gradient):
            c = g + factor * (g - previous_gradient) if changes else g
            return c * within(max_norm, leaf_norm(c, None, axes)), g

        updates, previous = map_split(leaf, axis_name, updates, state.previous_gradient)
        return updates, PreviousGradientState(increment(state.count), previous)

    return _no_previous, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def amplify_slow(decay: Hyper = 0.98, factor: Hyper = 2.0):
    """Add to each gradient a multiple of the running mean of gradients: what changes slowly counts more.

        m = decay·m + (1 - decay)·g        at the first step m = g
        u = g + factor·m

    With factor = 0 the updates do not change.

    Args:
        decay: the weight of the past; in [0, 1].
        factor: what the mean is multiplied by; finite, at least 0.

    State: `AmplifySlowState`: count, int32 scalar; mu, like params, float32 or wider; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Lee et al. 2024 (arXiv:2405.20233), Grokfast-EMA with α = decay and λ = factor, 0.98 and 2 there.
        Grokfast-MA, with a window of gradients, is not here: it keeps 100 of them. Not in optax. Within 30
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.amplify_slow(0.5, factor=2.0)
        >>> u, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(-1.0), state)[0])
        3.0 -1.0
    """
    in_unit_interval(decay=decay)
    non_negative(factor=factor)
    adds = not (isinstance(factor, float) and factor == 0.0)

    def init(params):
        return AmplifySlowState(zero_count(), mu=zeros(params))

    def update(updates, state, params=None):
        first = state.count == 0

        def leaf(g, mu):
            mu = jnp.where(first, g, ema(mu, g, decay))  # a decay of 0 at first would be in single precision ever after
            return g + factor * mu if adds else g, mu

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(decay,))
        return updates, AmplifySlowState(increment(state.count), mu)

    return init, update


@transformation(any_leaves=True)  # a row at rest would still step, back by its last gradient
def scale_by_optimistic_gradient(alpha: Hyper = 1.0, beta: Hyper = 1.0):
    """Add to each update a multiple of its change since the last step: a guess of the next gradient.

        u = alpha·g + beta·(g - g')      g' is the last g; at the first step u = alpha·g

    With alpha = 1 and beta = 0 the updates do not change.

    Args:
        alpha: the factor of the gradient; finite, at least 0.
        beta: the factor of its change; finite, at least 0.

    State: `PreviousGradientState`: count, int32 scalar; previous_gradient, like params, float32 or wider; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Mokhtari et al. 2020 (arXiv:1901.08511), generalized OGDA. Same as optax, whose state
        has a flag in place of the count. Within 8 ulp of exact arithmetic over 1,000 steps in float32, relative to the
        largest term.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_optimistic_gradient()
        >>> u, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(3.0), state)[0])
        1.0 5.0
    """
    non_negative(alpha=alpha, beta=beta)
    changes = not (isinstance(beta, float) and beta == 0.0)

    def update(updates, state, params=None):
        factor = jnp.where(state.count == 0, 0.0, beta)

        def leaf(g, previous_gradient):
            u = alpha * g
            return u + factor * (g - previous_gradient) if changes else u, g

        updates, previous = map_leaves(leaf, updates, state.previous_gradient)
        return updates, PreviousGradientState(increment(state.count), previous)

    return _no_previous, update


def _no_previous(params: Any) -> PreviousGradientState:
    return PreviousGradientState(zero_count(), previous_gradient=zeros(params))
