"""Mechanic: the sum of all updates of an optimizer, times a factor that an online learner chooses."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import quotient, scale_down
from gradtx.core.states import Exact
from gradtx.errors import finite, in_unit_interval, non_negative, positive
from gradtx.rates.estimator import Advice, estimator
from gradtx.rates.sums import inner_product, joined
from gradtx.transforms.norms import global_norm
from gradtx.wrappers.lookup import only_trained


class MechanicState(NamedTuple):
    """The state of `mechanic`. The vectors have an entry for each of `betas`.

    delta: Δ, the sum of the inner updates, like params, float32 or wider; 0 at init.
    r, s: float vectors; 0 at init.
    m: float vector; 1e-6 at init.
    v: the root of the sum of squares, float vector; 0 at init.
    total: the sum of s that made the parameters, float scalar; 0 at init.
    """

    delta: Exact
    r: jax.Array
    m: jax.Array
    v: jax.Array
    s: jax.Array
    total: jax.Array


@estimator(descends=True)
def mechanic(
    betas: tuple[Number, ...] = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999),
    s_init: Number = 1e-8,
    weight_decay: Number = 1e-2,
    eps: Number = 1e-8,
):
    """Multiply the sum of all inner updates by a learnt factor, the sum of tuners that forget at different paces.

        h = ⟨g + weight_decay·S·‖g‖·w/‖w‖, Δ⟩        Δ: the sum of the inner updates before this step
        m = max(b·m, |h|)                            for each b of the n betas
        v = b²·v + h²
        r = max(0, b·r - s·h)
        s = (s_init·m/n + r)/(√v + eps)
        S = Σs
        w = w₀ + S·(Δ + inner update)

    The inner transformation has its usual learning rate schedule, with a maximum of 1. A gradient of zero leaves S
    nearly as it is.

    Args:
        betas: the weights of the past; each in [0, 1].
        s_init: the first stretch; greater than 0, and less than the right one.
        weight_decay: how much S is held back, and the parameters with it; finite, at least 0.
        eps: added to the root; finite, at least 0.

    State: `MechanicState`.
    Raises: ValueError: an argument is out of range.
    Source: Cutkosky et al. 2023 (arXiv:2306.00144), algorithm 1, with its authors' initial values. optax's
        `contrib.mechanize` starts with s = s_init = 1e-6 and m = 0, adds eps to |h| in m, and clips h in r to the m
        before. It keeps w₀ and divides w - w₀ by S; this keeps Δ. Around `adam(0.1)`, with s_init = 1e-3, the
        parameters are within 50 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adapt_learning_rate(gradtx.sgd(1.0), gradtx.rates.mechanic()), jnp.array(3.0)
        >>> for k in range(100):  # of w²/2
        ...     u, state = tx.update(w, tx.init(w) if k == 0 else state, w)
        ...     w = w + u
        >>> print(abs(w) < 0.1)
        True
    """
    in_unit_interval(**{f"betas[{i}]": b for i, b in enumerate(betas)})
    if not betas:
        raise ValueError("betas must have at least one entry; got ()")
    positive(s_init=s_init)
    finite(s_init=s_init)
    non_negative(weight_decay=weight_decay, eps=eps)

    def init(params):
        dtype = float_dtype(params)
        zero, nothing = jnp.zeros((len(betas),), dtype), jnp.zeros((), dtype)
        return MechanicState(zeros(params), zero, jnp.full_like(zero, 1e-6), zero.copy(), zero.copy(), nothing)

    def past(x):
        return jnp.stack([scale_down(x[i], b) for i, b in enumerate(betas)])

    def before(g, state, params, now):
        w = only_trained(params)
        pull = weight_decay * state.total * quotient(global_norm(g), global_norm(w))
        h = inner_product(g, state.delta) + pull * inner_product(w, state.delta, turn=1)
        h = jnp.clip(h, -_MOST, _MOST).astype(state.m.dtype)
        m = jnp.maximum(past(state.m), jnp.abs(h))
        v = joined(past(state.v), jnp.full_like(state.v, jnp.abs(h)))
        r = jnp.maximum(past(state.r) - state.s * h, 0.0)
        s = quotient(s_init / len(betas) * m + r, v + eps)
        return Advice(jnp.sum(s)), MechanicState(state.delta, r, m, v, s, state.total)

    def after(u, state, rate):
        more = rate - state.total
        u, delta = map_leaves(lambda u, delta: (rate * u + more * delta, delta + u), u, state.delta)
        return u, state._replace(delta=delta, total=rate)

    return init, before, after


_MOST = 1e30  # so that products with it are finite
