"""Adam for gradients with spikes: SPAM and Stable-SPAM."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, clip_and_square, divide_by_root, ema, increment, safe_sqrt, zero_count
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative, not_below_one
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.spikes import clip_by_running_max, scale_by_running_norm
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.restart import restart


class ScaleBySpamState(NamedTuple):
    """The state of `scale_by_spam`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init


def _divisors(given: Any, state: Any) -> dict[str, Divisor]:
    return {"nu": Divisor(0.0, given["eps"], bias_correction(given["b2"], state.count, jnp.float32))}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors)
def scale_by_spam(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, threshold: Hyper = 5000.0, quiet: Count = 20):
    """Adam's quotient of gradients whose spikes are clipped against its own second moment.

        g = sign(g)·√(threshold·v)   where |g|² > threshold·v > 0, after the first `quiet` updates
        m, v, u from this g as in `scale_by_adam`

    v is the mean before this update, not corrected for its start. An entry whose gradients were all 0 is not clipped.
    Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1, b2, eps: as in `scale_by_adam`.
        threshold: the largest square of a gradient, as a multiple of its mean square; at least 1; infinity for no clip.
        quiet: updates without a clip; a whole number, at least 0.

    State: `ScaleBySpamState`, like that of `scale_by_adam`.
    Raises: ValueError: an argument is out of range.
    Source: Huang et al. 2025 (arXiv:2501.06842), SPAM, equation 2 and algorithm 1; quiet as in their code, whose later
        versions have threshold 2000. Not in optax. Within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_spam(b1=0.0, b2=0.75, threshold=16.0, quiet=1)
        >>> _, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))  # v = 0.25
        >>> print(tx.update(jnp.array(100.0), state)[1].mu)  # √(16·0.25)
        2.0
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, quiet=quiet)
    not_below_one(threshold=threshold)

    def init(params):
        return ScaleBySpamState(zero_count(), mu=zeros(params), nu=zeros(params, real=True))

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c1, c2 = bias_correction(b1, t, width), bias_correction(b2, t, width)
        awake = state.count >= quiet

        def leaf(g, mu, nu):
            g, g_sq = clip_and_square(g)
            most = threshold * nu
            spike = awake & (g_sq > most) & (nu > 0)
            bound = safe_sqrt(jnp.where(spike, most, 0.0))
            g, g_sq = jnp.where(spike, jnp.sign(g) * bound.astype(g.dtype), g), jnp.where(spike, most, g_sq)
            mu, nu = ema(mu, g, b1), ema(nu, g_sq, b2)
            return divide_by_root(mu / c1, nu / c2, eps), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleBySpamState(t, mu, nu)

    return init, update


@transformation
def spam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
    threshold: Hyper = 5000.0,
    quiet: Count = 20,
    every: Count = 500,
    warmup: Count = 150,
):
    """SPAM: `scale_by_spam` with `restart`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0. It multiplies the weight decay too.
        b1, b2, eps, threshold, quiet: as in `scale_by_spam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        every, warmup: as in `restart`.

    State: a chain's dict, with one entry: `RestartState`. Its update needs `params`.
    Source: Huang et al. 2025 (arXiv:2501.06842), algorithm 1, without its sparse momentum. Not in optax. Within 60 ulp
        of the largest parameter so far over 1,000 steps in float32.
    """
    return chain(
        restart(scale_by_spam(b1, b2, eps, threshold, quiet), every, warmup),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def stable_spam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
    max_decay: Hyper = 0.999,
    norm_b1: Hyper = 0.7,
    norm_b2: Hyper = 0.9,
    every: Count = 1000,
):
    """Stable-SPAM: `clip_by_running_max`, `scale_by_running_norm`, `scale_by_adam` with `restart`, then decay and rate.

    Args:
        learning_rate: at least 0. It multiplies the weight decay too.
        b1, b2, eps: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        max_decay: `decay` of `clip_by_running_max`.
        norm_b1, norm_b2: `b1` and `b2` of `scale_by_running_norm`.
        every: as in `restart`, for Adam's means only.

    State: a chain's dict, with the states of the first three. Its update needs `params`.
    Source: Huang et al. 2025 (arXiv:2502.17055), algorithm 1. Not in optax. Within 60 ulp of the largest parameter so
        far over 1,000 steps in float32.
    """
    below_one(max_decay=max_decay, norm_b1=norm_b1, norm_b2=norm_b2)
    return chain(
        clip_by_running_max(max_decay),
        scale_by_running_norm(norm_b1, norm_b2),
        restart(scale_by_adam(b1, b2, eps), every),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
