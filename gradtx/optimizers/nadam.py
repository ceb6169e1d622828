"""NAdam: Adam with Nesterov's momentum, and a b1 that may grow."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, divide_by_root, increment, zero_count
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import NonNegative, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.optimizers.adam import divisors, next_moments, scale_by_nadam
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByScheduledNadamState(NamedTuple):
    """The state of `scale_by_scheduled_nadam`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    rest: jax.Array  # 1 - μ_1·…·μ_t, which keeps the digits near 1 that the product would lose; float scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=divisors)
def scale_by_scheduled_nadam(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0, *, momentum_decay: Hyper = 0.004
):
    """Adam with Nesterov's momentum whose weight grows with the steps.

        μ_t = b1·(1 - 0.5·0.96^(t·momentum_decay))
        m, v̂ as in `scale_by_adam`
        u = (μ_(t+1)·m/(1 - μ_1·…·μ_(t+1)) + (1 - μ_t)·g/(1 - μ_1·…·μ_t))/(√(v̂ + eps_root) + eps)

    Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1: the weight of the past in m, and the limit of μ; in [0, 1).
        b2, eps, eps_root: as in `scale_by_adam`.
        momentum_decay: how fast μ grows; finite, at least 0; per step. For large values this becomes `scale_by_nadam`.

    State: `ScaleByScheduledNadamState`: count, int32 scalar; rest = 1 - μ_1·…·μ_t, float scalar; mu, like params; nu,
        like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Dozat 2016 (ICLR workshop), section 2 and algorithm 2, as in torch's `NAdam` (0.004) and Keras' `Nadam` (1).
        Within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_scheduled_nadam()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1.0565 -1.0565]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root, momentum_decay=momentum_decay)

    def init(params):
        rest = jnp.zeros((), float_dtype(params))
        return ScaleByScheduledNadamState(zero_count(), rest, mu=zeros(params), nu=zeros(params, real=True))

    def update(updates, state, params=None):
        t = increment(state.count)
        limit, psi, step = (jnp.asarray(x, state.rest.dtype) for x in (b1, momentum_decay, t))
        mu_t = limit * (1.0 - 0.5 * 0.96 ** (step * psi))
        mu_next = limit * (1.0 - 0.5 * 0.96 ** ((step + 1.0) * psi))
        rest = (1.0 - mu_t) + mu_t * state.rest
        rest_next = (1.0 - mu_next) + mu_next * rest
        c2 = bias_correction(b2, t, float_dtype(updates, state.mu))

        def leaf(g, mu, nu):
            g, mu, nu = next_moments(g, mu, nu, b1, b2)
            m = mu_next * mu / rest_next + (1.0 - mu_t) * g / rest
            return divide_by_root(m, nu / c2, eps, eps_root), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByScheduledNadamState(t, rest, mu, nu)

    return init, update


@transformation
def nadam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    momentum_decay: Hyper | None = None,
):
    """NAdam: `scale_by_nadam` or `scale_by_scheduled_nadam`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3 or 2e-3.
        b1, b2, eps, eps_root: as in `scale_by_nadam`.
        momentum_decay: None for a constant b1 (optax); a number for `scale_by_scheduled_nadam` (torch 0.004, Keras 1).

    State: a chain's dict, with one entry: `ScaleByAdamState` or `ScaleByScheduledNadamState`.
    Source: Dozat 2016 (ICLR workshop).
    """
    return chain(_scaling(b1, b2, eps, eps_root, momentum_decay), scale_by_learning_rate(learning_rate))


@transformation
def nadamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 1e-4,
    mask: Any = None,
    *,
    momentum_decay: Hyper | None = None,
):
    """NAdam with decoupled weight decay: the scaling of `nadam`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3 or 2e-3. It multiplies the weight decay too.
        b1, b2, eps, eps_root, momentum_decay: as in `nadam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdamState` or `ScaleByScheduledNadamState`. It needs `params`.
    Source: Dozat 2016 (ICLR workshop) with Loshchilov & Hutter 2019 (arXiv:1711.05101). optax's `nadamw`, which has no
        momentum_decay; torch's `NAdam(decoupled_weight_decay=True)`, with momentum_decay 4e-3.
    """
    return chain(
        _scaling(b1, b2, eps, eps_root, momentum_decay),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def _scaling(b1: Any, b2: Any, eps: Any, eps_root: Any, momentum_decay: Any) -> GradientTransformation:
    if momentum_decay is None:
        return scale_by_nadam(b1, b2, eps, eps_root)
    return scale_by_scheduled_nadam(b1, b2, eps, eps_root, momentum_decay=momentum_decay)
