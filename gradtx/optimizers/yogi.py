"""Yogi: Adam whose second moment changes by steps that do not depend on its size."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import float_dtype, full, map_leaves, zeros
from gradtx.core.numerics import bias_correction, clip_and_square, divide_by_root, ema, increment, zero_count
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.optimizers.adam import ScaleByAdamState, divisors
from gradtx.transforms.basic import scale_by_learning_rate


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=divisors)
def scale_by_yogi(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-3,
    eps_root: Hyper = 0.0,
    initial_accumulator_value: Number = 1e-6,
):
    """Adam whose second moment moves towards the squares by a share of the square, not of the distance.

        m = b1·m + (1 - b1)·g
        v = v - (1 - b2)·sign(v - |g|²)·|g|²
        u = m̂/(√(v̂ + eps_root) + eps),   m̂ = m/(1 - b1^t),   v̂ = v/(1 - b2^t)

    After large gradients v, and with it the step, changes slowly: v decreases by small squares only.
    Gradients above 9.2e18 (float32) count as 9.2e18: v̂ may be half as large again as the largest square.

    Args:
        b1, b2, eps, eps_root: as in `scale_by_adam`; the paper advises a large eps, 1e-3.
        initial_accumulator_value: v before the first step; finite, at least 0; gradient units squared.

    State: `ScaleByAdamState`: count, int32 scalar, 0 at init; mu, like params, 0 at init; nu, like params, real: v.
    Raises: ValueError: an argument is out of range.
    Source: Zaheer et al. 2018 (NeurIPS), algorithm 2, with Adam's corrections. optax starts m at
        initial_accumulator_value too, so that a parameter without gradients moves. Not in torch or Keras. Within 80 ulp
        of exact arithmetic over 1,000 steps in float32, where v is not within rounding of |g|²; there the sign may
        differ, and the step by (1 - b2) of itself.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_yogi()
        >>> print(tx.update(jnp.array([1.0, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 0.9985 -1.    ]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root, initial_accumulator_value=initial_accumulator_value)

    def init(params):
        return ScaleByAdamState(zero_count(), zeros(params), full(params, initial_accumulator_value, real=True))

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c1, c2 = bias_correction(b1, t, width), bias_correction(b2, t, width)

        def leaf(g, mu, nu):
            g, g_sq = clip_and_square(g, room=0.5)
            mu = ema(mu, g, b1)
            nu = nu - (1.0 - b2) * jnp.sign(nu - g_sq) * g_sq
            return divide_by_root(mu / c1, nu / c2, eps, eps_root), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, None))
        return updates, ScaleByAdamState(t, mu, nu)

    return init, update


@transformation
def yogi(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-3):
    """Yogi: `scale_by_yogi`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-2, as in the paper.
        b1, b2, eps: as in `scale_by_yogi`.

    State: a chain's dict, with one entry: `ScaleByAdamState`.
    Source: Zaheer et al. 2018 (NeurIPS). optax starts the first moment at 1e-6 too.
    """
    return chain(scale_by_yogi(b1, b2, eps), scale_by_learning_rate(learning_rate))
