"""Momentum: running sums and averages of the updates."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.errors import below_one, in_unit_interval
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, increment, scale_down, zero_count
from gradtx.core.numerics import ema as average
from gradtx.core.states import Signed
from gradtx.core.transformation import transformation


class AddMomentumState(NamedTuple):
    """trace: like params, float32 or wider: the running sum b, starts at 0."""

    trace: Signed


class AddDampedMomentumState(NamedTuple):
    """count: int32 scalar, updates done. trace: like params, float32 or wider: the running sum b, starts at 0."""

    count: jax.Array
    trace: Signed


class EmaState(NamedTuple):
    """count: int32 scalar, updates done. mu: like params, float32 or wider: the running average m, starts at 0."""

    count: jax.Array
    mu: Signed


@transformation(any_leaves=True, sparse_rows=True)
def add_momentum(decay: Hyper = 0.9):
    """Replace the updates by their decaying sum: the classical heavy ball.

        b = decay·b + g
        u = b

    Args:
        decay: what is kept of the sum at each step; in [0, 1]; 0 passes the updates on.

    State: `AddMomentumState`: trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay outside [0, 1].
    Source: Polyak 1964; Sutskever et al. 2013, equations 1 and 2. optax's `trace(decay)`, torch's `SGD(momentum)`;
        Keras keeps the learning rate inside the buffer, which differs when the rate changes. Within 50 ulp of exact
        arithmetic over 1,000 steps in float32.

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
            trace = scale_down(trace, decay) + g
            return trace, trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, AddMomentumState(trace)

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def add_nesterov_momentum(decay: Hyper = 0.9):
    """Replace the updates by their decaying sum, looked at one step ahead: Nesterov's momentum.

        b = decay·b + g
        u = g + decay·b

    Args:
        decay: what is kept of the sum at each step; in [0, 1].

    State: `AddMomentumState`: trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay outside [0, 1].
    Source: Nesterov 1983, in the form of Sutskever et al. 2013, section 2, shifted so that the gradient is taken at the
        parameters themselves. optax's `trace(decay, nesterov=True)`, torch's `SGD(momentum, nesterov=True)`. Within 50
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
            trace = scale_down(trace, decay) + g
            return g + scale_down(trace, decay), trace

        updates, trace = map_leaves(leaf, updates, state.trace, idle=(decay,))
        return updates, AddMomentumState(trace)

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def add_damped_momentum(decay: Hyper = 0.9, dampening: Hyper = 0.0):
    """Replace the updates by their decaying sum, to which each but the first is added in part: torch's dampening.

        b = g                                at the first step
        b = decay·b + (1 - dampening)·g      after it
        u = b

    Args:
        decay: what is kept of the sum at each step; in [0, 1].
        dampening: what is left out of each new update; in [0, 1]; 0 is `add_momentum`.

    State: `AddDampedMomentumState`: count, int32 scalar, 0 at init; trace, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay or dampening outside [0, 1].
    Source: torch's `SGD(momentum, dampening)`; it has no source before that, and optax no counterpart. MLX damps the
        first step too. Within 50 ulp of exact arithmetic over 1,000 steps in float32.

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


@transformation(any_leaves=True, sparse_rows=True)
def ema(decay: Hyper = 0.9, *, debias: bool = True):
    """Replace the updates by their exponential moving average: momentum as an average.

        m = decay·m + (1 - decay)·g
        u = m/(1 - decay^t)     with debias, else m

    Args:
        decay: the weight of the past; in [0, 1); 0 passes the updates on.
        debias: divide by the sum of the weights so far, so that the first steps are not too small.

    State: `EmaState`: count, int32 scalar, 0 at init; mu, like params, float32 or wider, 0 at init.
    Raises: ValueError: decay outside [0, 1).
    Source: Kingma & Ba 2015 (arXiv:1412.6980), section 3, the first moment alone. optax's `ema`. Within 30 ulp of exact
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
