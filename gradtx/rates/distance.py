"""The distance over the gradients: rates that grow with the distance from the start."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import quotient, safe_sqrt
from gradtx.core.states import Exact
from gradtx.errors import finite, non_negative, positive
from gradtx.rates.estimator import Advice, estimator
from gradtx.rates.sums import distance_from, joined
from gradtx.transforms.norms import global_norm
from gradtx.wrappers.lookup import copied


class DistanceState(NamedTuple):
    """The state of `distance` and `weighted_distance`.

    init_params: like params, float32 or wider; a copy of the parameters at init.
    max_dist: the largest distance from there so far, float scalar.
    norm: the root of the sum of squares, float scalar; 0 at init.
    """

    init_params: Exact
    max_dist: jax.Array
    norm: jax.Array


@estimator()
def distance(reps_rel: Number = 1e-6, eps: Number = 1e-8):
    """The largest distance from the start, divided by the root of the sum of squared gradient norms.

        r = max(r, ‖w - w₀‖)                 r = reps_rel·(1 + ‖w₀‖) at init
        G = G + ‖g‖²
        rate = r/√(G + eps)

    If all gradients are multiplied by a number, only eps changes the steps. The last parameters are noisy: evaluate
    the model at their average, with `average`.

    Args:
        reps_rel: the first distance, relative to 1 + ‖w₀‖; greater than 0. 1e-4 suits models with batch norm.
        eps: at least 0; in squared units of the gradient.

    State: `DistanceState`; its norm is √G.
    Raises: ValueError: an argument is out of range.
    Source: Ivgi et al. 2023 (arXiv:2302.12022), equations 1 to 3. optax's `contrib.dog`. Around
        `sgd(1.0)` the parameters are within 60 ulp of the largest parameter so far over 1,000 steps in float32, if
        the first distance is 1e-2.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adapt_learning_rate(gradtx.sgd(1.0), gradtx.rates.distance(1e-3)), jnp.zeros(2)
        >>> print(tx.update(jnp.array([30.0, 40.0]), tx.init(w), w)[0])  # a step of length 1e-3
        [-0.0006 -0.0008]
    """
    positive(reps_rel=reps_rel)
    finite(reps_rel=reps_rel)
    non_negative(eps=eps)

    def init(params):
        start = global_norm(params)
        return DistanceState(copied(params), reps_rel * (1 + start), jnp.zeros_like(start))

    def before(g, state, params, now):
        r = jnp.maximum(state.max_dist, distance_from(params, state.init_params))
        norm = joined(state.norm, global_norm(g))
        return Advice(quotient(r, joined(norm, _root(eps)))), DistanceState(state.init_params, r, norm)

    return init, before


@estimator()
def weighted_distance(init_dist: Number = 1e-2, eps: Number = 1e-4):
    """The squared distance from the start, divided by the root of the sum of squared gradient norms, weighted by it.

        r = max(r, ‖w - w₀‖)                 r = init_dist at init
        v = v + r²·‖g‖²
        rate = r²/(√v + eps)

    If all gradients are multiplied by a number, only eps changes the steps.

    Args:
        init_dist: the first distance, in units of the parameters; greater than 0.
        eps: at least 0; in units of the parameters times those of the gradient.

    State: `DistanceState`; its norm is √v.
    Raises: ValueError: an argument is out of range.
    Source: Khaled et al. 2023 (arXiv:2305.16284), algorithm 1, without eps. optax's `contrib.dowg`, which is given the
        square of the first distance. Around `sgd(1.0)` the parameters are within 2000 ulp of the largest parameter so
        far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.adapt_learning_rate(gradtx.sgd(1.0), gradtx.rates.weighted_distance(1e-3, 0.0))
        >>> print(tx.update(jnp.array([30.0, 40.0]), tx.init(jnp.zeros(2)), jnp.zeros(2))[0])  # a step of length 1e-3
        [-0.0006 -0.0008]
    """
    positive(init_dist=init_dist)
    finite(init_dist=init_dist)
    non_negative(eps=eps)

    def init(params):
        dtype = float_dtype(params)
        return DistanceState(copied(params), jnp.array(init_dist, dtype), jnp.zeros((), dtype))

    def before(g, state, params, now):
        r = jnp.maximum(state.max_dist, distance_from(params, state.init_params))
        norm = joined(state.norm, r * global_norm(g))
        return Advice(quotient(r * r, norm + eps)), DistanceState(state.init_params, r, norm)

    return init, before


def _root(x):
    return x**0.5 if isinstance(x, float) else safe_sqrt(x)
