"""AdaBound and AMSBound: Adam whose rates for each entry are held between bounds that close in on one rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, increment, quotient, safe_sqrt
from gradtx.core.schedule import is_schedule
from gradtx.core.states import NonNegative, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, finite, non_negative, positive
from gradtx.optimizers.adam import ScaleByAdamState, next_moments, zero_moments
from gradtx.transforms.basic import scale_by_learning_rate


class ScaleByAmsboundState(NamedTuple):
    """The state of `scale_by_amsbound`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init
    nu_max: NonNegative  # the largest v so far; like nu; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def scale_by_adabound(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, final_factor: Hyper = 100.0, gamma: Hyper = 1e-3
):
    """Multiply a running mean of the gradients by Adam's factors, held between bounds that close in on one number.

        m, v as in `scale_by_adam`
        low = final_factor·(1 - 1/(gamma·t + 1)),   high = final_factor·(1 + 1/(gamma·t))
        u = m·min(max(√(1 - b2^t)/((1 - b1^t)·(√v + eps)), low), high)

    It begins as Adam and ends as gradient descent with momentum. Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1, b2: as in `scale_by_adam`.
        eps: added to the root of the uncorrected v; finite, at least 0; gradient units.
        final_factor: the factor of m in the end; finite, at least 0; per gradient unit. With a learning rate behind it,
            this is the ratio of the last rate to the first.
        gamma: how fast the bounds close in; finite, greater than 0; per step.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Luo et al. 2019 (arXiv:1902.09843), algorithm 2, with the corrections and the bounds of its authors' code.
        Not in optax, torch or Keras. Within 40 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adabound()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    _check(b1, b2, eps, final_factor, gamma)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        held = _held(t, width, b1, b2, eps, final_factor, gamma)

        def leaf(g, mu, nu):
            _, mu, nu = next_moments(g, mu, nu, b1, b2)
            return held(mu, nu), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return zero_moments, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def scale_by_amsbound(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, final_factor: Hyper = 100.0, gamma: Hyper = 1e-3
):
    """`scale_by_adabound` with the largest second moment so far instead of the present one.

        x = max(x, v),   u as in `scale_by_adabound` with x for v

    Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1, b2, eps, final_factor, gamma: as in `scale_by_adabound`.

    State: `ScaleByAmsboundState`: count, int32 scalar; mu, like params; nu and nu_max, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Luo et al. 2019 (arXiv:1902.09843), section 4, as in its authors' code: the maximum is of the raw v. Not in
        optax, torch or Keras. Within 40 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_amsbound()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    _check(b1, b2, eps, final_factor, gamma)

    def init(params):
        return ScaleByAmsboundState(*zero_moments(params), zeros(params, real=True))

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        held = _held(t, width, b1, b2, eps, final_factor, gamma)

        def leaf(g, mu, nu, nu_max):
            _, mu, nu = next_moments(g, mu, nu, b1, b2)
            nu_max = jnp.maximum(nu_max, nu)
            return held(mu, nu_max), mu, nu, nu_max

        updates, *new = map_leaves(leaf, updates, state.mu, state.nu, state.nu_max, idle=(b1, b2, None))
        return updates, ScaleByAmsboundState(t, *new)

    return init, update


def _check(b1: Any, b2: Any, eps: Any, final_factor: Any, gamma: Any) -> None:
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, final_factor=final_factor)
    positive(gamma=gamma)
    finite(gamma=gamma)


def _held(t: jax.Array, width: Any, b1: Any, b2: Any, eps: Any, final_factor: Any, gamma: Any) -> Any:
    """`(m, v) -> u`, with the numbers that all leaves share computed once."""
    corrected = jnp.sqrt(bias_correction(b2, t, width)) / bias_correction(b1, t, width)
    progress = gamma * t.astype(width)
    low, high = final_factor * (progress / (progress + 1.0)), final_factor * (1.0 + 1.0 / progress)

    def held(m: jax.Array, v: jax.Array) -> jax.Array:
        factor = quotient(jnp.broadcast_to(corrected, v.shape), safe_sqrt(v) + eps)
        return m * jnp.clip(factor, low, high)

    return held


@transformation
def adabound(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    final_learning_rate: Hyper = 0.1,
    gamma: Hyper = 1e-3,
    *,
    base_learning_rate: Hyper | None = None,
):
    """AdaBound: `scale_by_adabound`, then `scale_by_learning_rate`.

    Args:
        learning_rate: greater than 0, or at least 0 if base_learning_rate is given; usually 1e-3.
        b1, b2, eps, gamma: as in `scale_by_adabound`.
        final_learning_rate: the rate of every entry in the end; at least 0; if the learning rate changes, it changes by
            the same factor.
        base_learning_rate: the learning rate to which final_learning_rate belongs, greater than 0; None for
            learning_rate. It must be given if that is a schedule, for instance as its highest value.

    State: a chain's dict, with one entry: `ScaleByAdamState`.
    Raises: ValueError: an argument is out of range; the learning rate is a schedule, and there is no other base.
    Source: Luo et al. 2019 (arXiv:1902.09843), algorithm 2. Weight decay, if any, was added to the gradients.
    """
    factor = _final_factor(learning_rate, final_learning_rate, base_learning_rate)
    return chain(scale_by_adabound(b1, b2, eps, factor, gamma), scale_by_learning_rate(learning_rate))


@transformation
def amsbound(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    final_learning_rate: Hyper = 0.1,
    gamma: Hyper = 1e-3,
    *,
    base_learning_rate: Hyper | None = None,
):
    """AMSBound: `scale_by_amsbound`, then `scale_by_learning_rate`.

    Args:
        learning_rate, b1, b2, eps, final_learning_rate, gamma, base_learning_rate: as in `adabound`.

    State: a chain's dict, with one entry: `ScaleByAmsboundState`.
    Raises: ValueError: an argument is out of range; the learning rate is a schedule, and there is no other base.
    Source: Luo et al. 2019 (arXiv:1902.09843), section 4.
    """
    factor = _final_factor(learning_rate, final_learning_rate, base_learning_rate)
    return chain(scale_by_amsbound(b1, b2, eps, factor, gamma), scale_by_learning_rate(learning_rate))


def _final_factor(rate: Any, final: Any, base: Any) -> Any:
    if base is None and not is_schedule(rate):
        positive(learning_rate=rate)
    base = rate if base is None else base
    if is_schedule(base):
        raise ValueError(
            "base_learning_rate must be a number where learning_rate is a schedule: the learning rate to which "
            "final_learning_rate belongs, for instance its highest value"
        )
    positive(base_learning_rate=base)
    non_negative(final_learning_rate=final)
    return final / base
