"""MoMo: momentum and Adam with a rate from a model of the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import bias_correction, clip_and_square, divide_by_root, ema, increment, zero_count
from gradtx.core.states import NonNegative, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, finite, in_unit_interval, non_negative
from gradtx.rates.estimator import the_loss
from gradtx.rates.sums import inner_product
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.norms import global_norm
from gradtx.wrappers.lookup import only_trained


class ScaleByMomoState(NamedTuple):
    """The state of `scale_by_momo`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    exp_avg: Signed  # m: running mean of g; like params, float32 or wider; 0 at init
    barf: jax.Array  # f̄: running mean of the loss; float scalar; 0 at init
    gamma: jax.Array  # γ: running mean of ⟨g, w⟩; float scalar; 0 at init


class ScaleByMomoAdamState(NamedTuple):
    """The state of `scale_by_momo_adam`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    exp_avg: Signed  # m: running mean of g; like params, float32 or wider; 0 at init
    exp_avg_sq: NonNegative  # v: running mean of |g|²; like params, real, float32 or wider; 0 at init
    barf: jax.Array  # f̄: running mean of the loss; float scalar; 0 at init
    gamma: jax.Array  # γ: running mean of ⟨g, w⟩; float scalar; 0 at init


@transformation(whole_tree=True)
def scale_by_momo(learning_rate: Hyper = 1.0, beta: Hyper = 0.9, lower_bound: Hyper = 0.0, weight_decay: Hyper = 0.0):
    """The mean of the gradients, times the rate at which a model of the loss would reach its lower bound.

        f̄ = beta·f̄ + (1 - beta)·f         γ = beta·γ + (1 - beta)·⟨g, w⟩        m = beta·m + (1 - beta)·g
        a = 1 + learning_rate·weight_decay
        τ = min(learning_rate, (a·(f̄ - lower_bound - γ) + ⟨m, w⟩)₊/‖m‖²)
        u = w - (w - τ·m)/a

    f is the loss, `value`. The means start with the first f, ⟨g, w⟩ and g. If the first gradient is zero, nothing moves
    without weight decay.

    Args:
        learning_rate: the largest rate; at least 0; finite.
        beta: the weight of the past in the means; in [0, 1].
        lower_bound: what the loss is never below; finite.
        weight_decay: finite, at least 0; the decay is proximal.

    State: `ScaleByMomoState`: count, int32 scalar; exp_avg, like params; barf and gamma, float scalars; 0 at init. Its
        update needs `params` and `value`.
    Raises: ValueError: an argument is out of range; `params` is not given; `value` is not a scalar.
    Source: Schaipp et al. 2024 (arXiv:2305.07583), algorithm 1 with section 4.2, with a constant lower bound. optax's
        `contrib.momo` divides only w by a, and not τ·m; it can also adapt the bound. In `momo(0.1)` the parameters are
        within 30 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_momo(), jnp.array([3.0, 4.0])
        >>> print(tx.update(w, tx.init(w), w, value=12.5)[0])  # of ‖w‖²/2: half the way
        [1.5 2. ]
    """
    in_unit_interval(beta=beta)
    finite(lower_bound=lower_bound)
    non_negative(learning_rate=learning_rate, weight_decay=weight_decay)

    def init(params):
        zero = jnp.zeros((), float_dtype(params))
        return ScaleByMomoState(zero_count(), zeros(params), zero, zero.copy())

    def update(updates, state, params, *, value):
        dtype, first = state.barf.dtype, state.count == 0
        eta, decay, bound = (jnp.asarray(x, dtype) for x in (learning_rate, weight_decay, lower_bound))

        def mean(old: Any, new: Any) -> Any:
            return jnp.where(first, new, ema(old, new, beta))

        f, w = mean(state.barf, the_loss("scale_by_momo", value, dtype)), only_trained(params)
        gamma = mean(state.gamma, inner_product(updates, w).astype(dtype))
        _, m = map_leaves(lambda g, m: (g, mean(m, g)), updates, state.exp_avg)
        norm = global_norm(m).astype(dtype)
        a = 1.0 + eta * decay
        gap = jnp.maximum(a * (f - bound - gamma) + inner_product(m, w, turn=1).astype(dtype), 0.0)
        safe = jnp.where(norm == 0, 1.0, norm)
        # The barrier keeps two divisions: XLA would divide by the square, which is 0 for norms below 1e-23.
        per_norm = jax.lax.optimization_barrier(gap / safe)
        tau = jnp.where(norm == 0, eta, jnp.minimum(eta, per_norm / safe))
        # w - (w - τ·m)/a, without the difference of w and nearly w.
        u = map_leaves(lambda g, m, w: (tau * m + (eta * decay) * w) / a, updates, m, params)
        return u, ScaleByMomoState(increment(state.count), m, f, gamma)

    return init, update


@transformation(whole_tree=True)
def scale_by_momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
):
    """Adam's quotient, times the rate at which a model of the loss would reach its lower bound.

        f̄ = b1·f̄ + (1 - b1)·f         γ = b1·γ + (1 - b1)·⟨g, w⟩        m = b1·m + (1 - b1)·g
        v = b2·v + (1 - b2)·|g|²       q = m/(√(v/(1 - b2^t)) + eps)
        a = 1 + learning_rate·weight_decay,   c = 1 - b1^t
        τ = min(learning_rate/c, (a·(f̄ - c·lower_bound - γ) + ⟨m, w⟩)₊/⟨m, q⟩)
        u = w - (w - τ·q)/a

    f is the loss, `value`. Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        learning_rate: the largest rate; at least 0; finite.
        b1: the weight of the past in the means; in [0, 1).
        b2: the weight of the past in v; in [0, 1).
        eps: added to the root; finite, at least 0; gradient units.
        lower_bound: what the loss is never below; finite.
        weight_decay: finite, at least 0; the decay is proximal.

    State: `ScaleByMomoAdamState`: count, int32 scalar; exp_avg and exp_avg_sq, like params; barf and gamma, float
        scalars; 0 at init. Its update needs `params` and `value`.
    Raises: ValueError: an argument is out of range; `params` is not given; `value` is not a scalar.
    Source: Schaipp et al. 2024 (arXiv:2305.07583), algorithm 2 with section 4.2, with a constant lower bound. optax's
        `contrib.momo_adam` divides only w by a, and not τ·q; it can also adapt the bound. In `momo_adam(0.1)` the
        parameters are within 30 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_momo_adam(1.0, eps=0.0), jnp.array([1.0, 1.0])
        >>> print(tx.update(w, tx.init(w), w, value=1.0)[0].round(4))  # of ‖w‖²/2: half the way
        [0.5 0.5]
    """
    below_one(b1=b1, b2=b2)
    finite(lower_bound=lower_bound)
    non_negative(learning_rate=learning_rate, eps=eps, weight_decay=weight_decay)

    def init(params):
        zero = jnp.zeros((), float_dtype(params))
        return ScaleByMomoAdamState(zero_count(), zeros(params), zeros(params, real=True), zero, zero.copy())

    def update(updates, state, params, *, value):
        dtype, t = state.barf.dtype, increment(state.count)
        eta, decay, bound = (jnp.asarray(x, dtype) for x in (learning_rate, weight_decay, lower_bound))
        c1, c2 = bias_correction(b1, t, dtype), bias_correction(b2, t, dtype)
        g, w = map_leaves(lambda g: clip_and_square(g)[0], updates), only_trained(params)

        def leaf(g, m, v):
            m, v = ema(m, g, b1), ema(v, clip_and_square(g)[1], b2)
            return divide_by_root(m, v / c2, eps), m, v

        q, m, v = map_leaves(leaf, g, state.exp_avg, state.exp_avg_sq)
        f = ema(state.barf, the_loss("scale_by_momo_adam", value, dtype), b1)
        gamma = ema(state.gamma, inner_product(g, w).astype(dtype), b1)
        a, square = 1.0 + eta * decay, inner_product(m, q, turn=2).astype(dtype)
        gap = jnp.maximum(a * (f - c1 * bound - gamma) + inner_product(m, w, turn=1).astype(dtype), 0.0)
        tau = jnp.where(square == 0, eta / c1, jnp.minimum(eta / c1, gap / jnp.where(square == 0, 1.0, square)))
        u = map_leaves(lambda q, w: (tau * q + (eta * decay) * w) / a, q, params)
        return u, ScaleByMomoAdamState(t, m, v, f, gamma)

    return init, update


@transformation
def momo(learning_rate: Hyper = 1.0, beta: Hyper = 0.9, lower_bound: Hyper = 0.0, weight_decay: Hyper = 0.0):
    """MoMo: `scale_by_momo`, then a change of sign.

    Args:
        learning_rate: the largest rate; at least 0.
        beta, lower_bound, weight_decay: as in `scale_by_momo`.

    State: a chain's dict, with one entry: `ScaleByMomoState`. Its update needs `params` and `value`.
    Source: Schaipp et al. 2024 (arXiv:2305.07583), algorithm 1. optax's `contrib.momo`, except for its weight decay.
    """
    return chain(scale_by_momo(learning_rate, beta, lower_bound, weight_decay), scale_by_learning_rate(1.0))


@transformation
def momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
):
    """MoMo-Adam: `scale_by_momo_adam`, then a change of sign.

    Args:
        learning_rate: the largest rate; at least 0.
        b1, b2, eps, lower_bound, weight_decay: as in `scale_by_momo_adam`.

    State: a chain's dict, with one entry: `ScaleByMomoAdamState`. Its update needs `params` and `value`.
    Source: Schaipp et al. 2024 (arXiv:2305.07583), algorithm 2. optax's `contrib.momo_adam`, except for its weight
        decay.
    """
    piece = scale_by_momo_adam(learning_rate, b1, b2, eps, lower_bound, weight_decay)
    return chain(piece, scale_by_learning_rate(1.0))
