"""Momentum: running sums and averages of the updates."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, increment, plus, scale_down, zero_count
from gradtx.core.numerics import ema as average
from gradtx.core.states import Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval


class AddMomentumState(NamedTuple):
    """The state of `add_momentum` and `add_nesterov_momentum`."""

    trace: Signed  # the running sum b; like params, float32 or wider; 0 at init


class AddDampedMomentumState(NamedTuple):
    """The state of `add_damped_momentum`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    trace: Signed  # the running sum b; like params, float32 or wider; 0 at init


class EmaState(NamedTuple):
    """The state of `ema`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # the running average m; like params, float32 or wider; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def add_momentum(decay: Hyper = 0.9):
    """Replace the updates by their decaying sum: heavy-ball momentum.

        b = decay·b + g
        u = b

    b becomes infinite where gradients are above 3.4e38·(1 - decay) (float32).

    Args:
        decay: the share of the sum that is kept at each step; in [0, 1]; with 0 the updates do not change.

    State: `AddMomentumState`: trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay is outside [0, 1].
    Source: Polyak 1964; Sutskever et al. 2013, equations 1 and 2. optax's `trace(decay)`, torch's `SGD(momentum)`.
        Keras sums gradients that are already multiplied by the learning rate: another result when it changes. Within 50
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.add_momentum(0.5)
        >>> u, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(tx.update(jnp.array(1.0), state)[0])
        1.5
    """
    in_unit_interval(decay=decay)

    def init(params):
        return AddMomentumState(trace=zeros(params))

    def update(updates, state, params=None):
        def leaf(g, trace):
            trace = plus(scale_down(trace, decay), g)
            return trace, trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, AddMomentumState(trace)

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def add_nesterov_momentum(decay: Hyper = 0.9):
    """Replace the updates by their decaying sum, taken one step ahead: Nesterov's momentum.

        b = decay·b + g
        u = g + decay·b

    b or u becomes infinite where gradients are above 3.4e38·(1 - decay) (float32).

    Args:
        decay: the share of the sum that is kept at each step; in [0, 1].

    State: `AddMomentumState`: trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay is outside [0, 1].
    Source: Nesterov 1983, in the form of Sutskever et al. 2013, section 2, rewritten so that gradients are taken at the
        parameters. optax's `trace(decay, nesterov=True)`, torch's `SGD(momentum, nesterov=True)`. Within 50
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.add_nesterov_momentum(0.5)
        >>> print(tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))[0])
        1.5
    """
    in_unit_interval(decay=decay)

    def init(params):
        return AddMomentumState(trace=zeros(params))

    def update(updates, state, params=None):
        def leaf(g, trace):
            trace = plus(scale_down(trace, decay), g)
            return g + scale_down(trace, decay), trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, AddMomentumState(trace)

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def add_damped_momentum(decay: Hyper = 0.9, dampening: Hyper = 0.0):
    """Replace the updates by their decaying sum, to which only a share of each new update is added: torch's dampening.

        b = g                                at the first step
        b = decay·b + (1 - dampening)·g      at later steps
        u = b

    b becomes infinite where gradients are above 3.4e38·(1 - decay) (float32).

    Args:
        decay: the share of the sum that is kept at each step; in [0, 1].
        dampening: the share of each new update that is left out; in [0, 1]; with 0 this is `add_momentum`.

    State: `AddDampedMomentumState`: count, int32 scalar, 0 at init; trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay or dampening is outside [0, 1].
    Source: torch's `SGD(momentum, dampening)`, which names no source. Not in optax. MLX dampens the first step too.
        Within 50 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.add_damped_momentum(0.5, dampening=0.5)
        >>> u, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(1.0), state)[0])
        1.0 1.0
    """
    in_unit_interval(decay=decay, dampening=dampening)

    def init(params):
        return AddDampedMomentumState(count=zero_count(), trace=zeros(params))

    def update(updates, state, params=None):
        share = jnp.where(state.count == 0, 1.0, 1.0 - dampening)

        def leaf(g, trace):
            trace = scale_down(trace, decay) + share * g
            return trace, trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, AddDampedMomentumState(increment(state.count), trace)

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def ema(decay: Hyper = 0.9, debias: bool = True):
    """Replace the updates by their exponential moving average.

        m = decay·m + (1 - decay)·g
        u = m/(1 - decay^t)     with debias, else m

    Args:
        decay: the weight of the past; in [0, 1); with 0 the updates do not change.
        debias: divide by the sum of the weights so far. Without it the first updates are too small.

    State: `EmaState`: count, int32 scalar, 0 at init; mu, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay is outside [0, 1).
    Source: Kingma & Ba 2015 (arXiv:1412.6980), section 3, the first moment only. optax's `ema`. Within 30 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.ema(0.5)
        >>> u, state = tx.update(jnp.array(3.0), tx.init(jnp.array(0.0)))
        >>> print(u, state.mu)
        3.0 1.5
    """
    below_one(decay=decay)

    def init(params):
        return EmaState(count=zero_count(), mu=zeros(params))

    def update(updates, state, params=None):
        t = increment(state.count)
        c = bias_correction(decay, t, float_dtype(updates, state.mu))

        def leaf(g, mu):
            mu = average(mu, g, decay)
            return mu / c if debias else mu, mu

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(decay,))
        return updates, EmaState(t, mu)

    return init, update
