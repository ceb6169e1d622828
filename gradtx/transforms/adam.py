"""Adam and its nearest kin: two moments, both corrected for their start at zero."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.errors import below_one, non_negative, one_of
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import (
    bias_correction,
    clip_and_square,
    divide_by_root,
    ema,
    increment,
    quotient,
    safe_sqrt,
    scale_down,
    zero_count,
)
from gradtx.core.roles import NonNegative, Signed
from gradtx.core.schedule import Hyper
from gradtx.core.transformation import transformation


class ScaleByAdamState(NamedTuple):
    """count: int32 scalar, updates done. mu: like params: running mean m of g. nu: like params, real: running mean v of
    |g|². Both float32 or wider, and 0 at init."""

    count: jax.Array
    mu: Signed
    nu: NonNegative


class ScaleByAmsgradState(NamedTuple):
    """count, mu, nu: as `ScaleByAdamState`. nu_max: like params, real: the largest second moment so far, 0 at init."""

    count: jax.Array
    mu: Signed
    nu: NonNegative
    nu_max: NonNegative


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_adam(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0):
    """Divide a running mean of the updates by the root of a running mean of their squares.

        m = b1·m + (1 - b1)·g
        v = b2·v + (1 - b2)·|g|²
        u = m̂/(√(v̂ + eps_root) + eps),   m̂ = m/(1 - b1^t),   v̂ = v/(1 - b2^t)

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: the weight of the past in v; in [0, 1).
        eps: outside the root; finite, at least 0; gradient units. With 0, an entry without any gradient yet gives 0.
        eps_root: inside the root; finite, at least 0; gradient units squared.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real; 0 at init.
    Raises: ValueError: an argument out of range.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1. As optax and torch (which has no eps_root). Keras: eps
        1e-7, added to the uncorrected root, so that it is larger by 1/√(1 - b2^t) in the first steps. Within 30 ulp of
        exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adam()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)

    def init(params):
        return ScaleByAdamState(zero_count(), mu=zeros(params), nu=zeros(params, real=True))

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c1, c2 = bias_correction(b1, t, width), bias_correction(b2, t, width)

        def leaf(g, mu, nu):
            g, g_sq = clip_and_square(g)
            mu, nu = ema(mu, g, b1), ema(nu, g_sq, b2)
            m, v = mu / c1, nu / c2
            return divide_by_root(m, v, eps, eps_root), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_amsgrad(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0, *, maximum_of: str = "corrected"
):
    """Adam, whose second moment is replaced by the largest that it has been.

        m, v as in `scale_by_adam`
        x = max(x, v̂)                      maximum_of="corrected"
        x = max(x, v), then x/(1 - b2^t)   maximum_of="raw"
        u = m̂/(√(x + eps_root) + eps)

    Args:
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        maximum_of: "corrected", the maximum of v̂ (optax), or "raw", of v, corrected afterwards (torch, Keras).

    State: `ScaleByAmsgradState`: count, int32 scalar; mu, like params; nu and nu_max, like params, real; 0 at init.
    Raises: ValueError: an argument out of range.
    Source: Reddi, Kale & Kumar 2018 (arXiv:1904.09237), algorithm 2, which corrects nothing. Keras adds eps to the
        uncorrected root. Within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_amsgrad()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)
    one_of(("corrected", "raw"), maximum_of=maximum_of)

    def init(params):
        nu, nu_max = zeros(params, real=True), zeros(params, real=True)
        return ScaleByAmsgradState(zero_count(), zeros(params), nu, nu_max)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c1, c2 = bias_correction(b1, t, width), bias_correction(b2, t, width)

        def leaf(g, mu, nu, nu_max):
            g, g_sq = clip_and_square(g)
            mu, nu = ema(mu, g, b1), ema(nu, g_sq, b2)
            nu_max = jnp.maximum(nu_max, nu / c2 if maximum_of == "corrected" else nu)
            v = nu_max if maximum_of == "corrected" else nu_max / c2
            return divide_by_root(mu / c1, v, eps, eps_root), mu, nu, nu_max

        # The maximum rests: without gradient v falls, and so does v̂.
        trees = (state.mu, state.nu, state.nu_max)
        updates, mu, nu, nu_max = map_leaves(leaf, updates, *trees, idle=(b1, b2, None))
        return updates, ScaleByAmsgradState(t, mu, nu, nu_max)

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_adamax(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8):
    """Adam in the infinity norm: divide by a decaying maximum.

        m = b1·m + (1 - b1)·g
        x = max(b2·x, |g| + eps)
        u = m̂/x,   m̂ = m/(1 - b1^t)

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: how fast the maximum decays; in [0, 1).
        eps: added to |g|; finite, at least 0; gradient units. With 0, an entry without any gradient yet gives 0.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real: the maximum x; 0 at init.
    Raises: ValueError: an argument out of range.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 2, with eps inside the maximum as in optax and torch. Keras
        adds 1e-7 to the maximum instead; MLX does not correct m. Within 40 ulp of exact arithmetic over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adamax()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps)

    def init(params):
        return ScaleByAdamState(zero_count(), mu=zeros(params), nu=zeros(params, real=True))

    def update(updates, state, params=None):
        t = increment(state.count)
        c1 = bias_correction(b1, t, float_dtype(updates, state.mu))

        def leaf(g, mu, nu):
            mu = ema(mu, g, b1)
            size = safe_sqrt(clip_and_square(g)[1]) if jnp.iscomplexobj(g) else jnp.abs(g)
            nu = jnp.maximum(scale_down(nu, b2), size + eps)
            return quotient(mu / c1, nu), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return init, update
