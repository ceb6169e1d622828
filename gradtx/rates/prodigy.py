"""Prodigy: a rate from the correlation of the gradients with the way so far."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import quotient, scale_down
from gradtx.core.states import Exact, Signed
from gradtx.errors import finite, in_unit_interval, positive
from gradtx.rates.estimator import Advice, estimator
from gradtx.rates.sums import difference, inner_product, sum_of_sizes
from gradtx.wrappers.lookup import copied


class ProdigyState(NamedTuple):
    """The state of `prodigy`.

    params0: w₀, like params, float32 or wider; a copy of the parameters at init.
    grad_sum: s, like params, float32 or wider; 0 at init.
    estim_lr: d, float scalar; `estim_lr0` at init.
    numerator_weighted: N, float scalar; 0 at init.
    """

    params0: Exact
    grad_sum: Signed
    estim_lr: jax.Array
    numerator_weighted: jax.Array


@estimator(one_rate=True)
def prodigy(b3: Number = 0.999**0.5, estim_lr0: Number = 1e-6, estim_lr_coef: Number = 1.0):
    """The estimate d of the distance to the solution, which only grows.

        N = b3·N + (d²/d₀)·learning_rate·⟨g, w₀ - w⟩
        s = b3·s + (d²/d₀)·learning_rate·g
        rate = feed = d                                 the d of the step before
        d = max(d, estim_lr_coef·N/‖s‖₁)                d₀ = estim_lr0 at init

    The inner transformation gets d·g, and should be one like Adam: its updates do not depend on the size of the
    gradients. A gradient of zero leaves d as it is. If the gradients are multiplied by a number, d does not change.

    Args:
        b3: the weight of the past in N and s; in [0, 1]. Usually the root of Adam's b2.
        estim_lr0: d at first; greater than 0, and less than the right rate.
        estim_lr_coef: a factor of the estimate; greater than 0.

    State: `ProdigyState`.
    Raises: ValueError: an argument is out of range.
    Source: Mishchenko & Defazio 2023 (arXiv:2306.06101), algorithm 4. In `gradtx.prodigy`
        with estim_lr0 = 0.01 the parameters are within 500 ulp of the largest parameter so far over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adapt_learning_rate(gradtx.adam(1.0, 0.0), gradtx.rates.prodigy()), jnp.array(0.0)
        >>> for k in range(60):  # of (w - 3)²/2
        ...     u, state = tx.update(w - 3, tx.init(w) if k == 0 else state, w)
        ...     w = w + u
        >>> print(w.round(1), state.estimator.estim_lr > 0.1)
        3.0 True
    """
    in_unit_interval(b3=b3)
    positive(estim_lr0=estim_lr0, estim_lr_coef=estim_lr_coef)
    finite(estim_lr0=estim_lr0, estim_lr_coef=estim_lr_coef)

    def init(params):
        dtype = float_dtype(params)
        return ProdigyState(copied(params), zeros(params), jnp.array(estim_lr0, dtype), jnp.zeros((), dtype))

    def before(g, state, params, now):
        d = state.estim_lr
        weight = d * (d / estim_lr0) * now.learning_rate
        n = scale_down(state.numerator_weighted, b3)
        n = n - weight * inner_product(g, difference(params, state.params0))
        _, s = map_leaves(lambda g, s: (g, scale_down(s, b3) + weight * g), g, state.grad_sum)
        grown = jnp.maximum(d, estim_lr_coef * quotient(n, sum_of_sizes(s).astype(n.dtype)))
        # The step waits for N, which reads the old parameters: else XLA would keep a copy of them. N is never below.
        return Advice(jnp.where(n < -jnp.inf, 0.0, d), d), ProdigyState(state.params0, s, grown, n)

    return init, before
