"""Adam, with Nesterov's momentum or without, and AdamW."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, clip_and_square, divide_by_root, ema, increment, over, zero_count
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByAdamState(NamedTuple):
    """The state of `scale_by_adam`, `scale_by_nadam` and `scale_by_adamax`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init


def zero_moments(params: Any) -> ScaleByAdamState:
    """The state before the first update."""
    return ScaleByAdamState(zero_count(), mu=zeros(params), nu=zeros(params, real=True))


def next_moments(g: Any, mu: Any, nu: Any, b1: Any, b2: Any) -> tuple[Any, Any, Any]:
    """The gradient, clipped where its square would overflow, and both running means with it."""
    g, g_sq = clip_and_square(g)
    return g, ema(mu, g, b1), ema(nu, g_sq, b2)


def corrected_mean(b1: Any, t: Any, width: Any, nesterov: bool) -> Callable[[Any, Any], Any]:
    """`(g, mu) -> m̂`, the running mean corrected for its start; with nesterov, taken one step ahead."""
    c1 = bias_correction(b1, t, width)
    if not nesterov:
        return lambda g, mu: mu / c1
    c1_next = bias_correction(b1, increment(t), width)
    return lambda g, mu: b1 * mu / c1_next + (1.0 - b1) * g / c1


def divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How Adam and its relatives use `nu`, for the trait `divides`."""
    return {"nu": Divisor(given["eps_root"], given["eps"], bias_correction(given["b2"], state.count, jnp.float32))}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=divisors)
def scale_by_adam(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0):
    """Divide a running mean of the gradients by the root of a running mean of their squares.

        m = b1·m + (1 - b1)·g
        v = b2·v + (1 - b2)·|g|²
        u = m̂/(√(v̂ + eps_root) + eps),   m̂ = m/(1 - b1^t),   v̂ = v/(1 - b2^t)

    Gradients above 1.8e19 (float32) count as 1.8e19, since their squares would overflow.

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: the weight of the past in v; in [0, 1).
        eps: added outside the root; finite, at least 0; gradient units. With 0, an entry whose gradients have all been
            zero has the update 0.
        eps_root: added inside the root; finite, at least 0; gradient units squared.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1. Same as optax and torch (torch has no eps_root). Keras adds
        eps (1e-7) to the root of the uncorrected v, so it has 1/√(1 - b2^t) times the weight, most in the first steps.
        Within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adam()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c1, c2 = bias_correction(b1, t, width), bias_correction(b2, t, width)

        def leaf(g, mu, nu):
            _, mu, nu = next_moments(g, mu, nu, b1, b2)
            m, v = over(mu, c1), over(nu, c2)
            return divide_by_root(m, v, eps, eps_root), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return zero_moments, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=divisors)
def scale_by_nadam(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8, eps_root: Hyper = 0.0):
    """Adam with Nesterov's momentum: the first moment is taken one step ahead.

        m, v̂ as in `scale_by_adam`
        u = (b1·m/(1 - b1^(t+1)) + (1 - b1)·g/(1 - b1^t))/(√(v̂ + eps_root) + eps)

    Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        b1, b2, eps, eps_root: as in `scale_by_adam`.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Dozat 2016 (ICLR workshop), algorithm 2, with a constant μ = b1. optax's `scale_by_adam(nesterov=True)`.
        torch and Keras let μ grow: `scale_by_scheduled_nadam`. Within 30 ulp of exact arithmetic over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_nadam(b1=0.5)
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1.3333 -1.3333]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c2, mean = bias_correction(b2, t, width), corrected_mean(b1, t, width, nesterov=True)

        def leaf(g, mu, nu):
            g, mu, nu = next_moments(g, mu, nu, b1, b2)
            return divide_by_root(mean(g, mu), nu / c2, eps, eps_root), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return zero_moments, update


@transformation
def adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    nesterov: bool = False,
):
    """Adam: `scale_by_adam` (or `scale_by_nadam`), then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        nesterov: use `scale_by_nadam`.

    State: a chain's dict, with one entry: `ScaleByAdamState`.
    Source: Kingma & Ba 2015 (arXiv:1412.6980). Same as optax and torch. Keras adds eps (1e-7) to the uncorrected root.
    """
    scaling = scale_by_nadam if nesterov else scale_by_adam
    return chain(scaling(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


@transformation
def adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
):
    """Adam with decoupled weight decay: `scale_by_adam`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        nesterov: use `scale_by_nadam`.

    State: a chain's dict, with one entry: `ScaleByAdamState`. Its update needs `params`.
    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), algorithm 2, with the decay multiplied by the learning rate, as
        in optax (default 1e-4), torch (1e-2) and Keras (4e-3).
    """
    scaling = scale_by_nadam if nesterov else scale_by_adam
    return chain(
        scaling(b1, b2, eps, eps_root), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate)
    )
