"""MADGRAD: dual averages of the gradients, over the cube root of a sum of squares."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import clip_and_square, increment, quotient, zero_count
from gradtx.core.states import Exact, NonNegative, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.lookup import copied


class ScaleByMadgradState(NamedTuple):
    """The state of `scale_by_madgrad`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    grad_sum_sq: NonNegative  # v, the weighted sum of |g|²; like params, real, float32 or wider; 0 at init
    s: Signed  # the weighted sum of g; like params, float32 or wider; 0 at init
    x0: Exact  # the parameters at init; like params, float32 or wider


@transformation(any_leaves=True, sign=-1, gradient_powers=lambda arguments: {"eps": 0})
def scale_by_madgrad(learning_rate: Hyper = 1e-2, momentum: Hyper = 0.9, eps: Hyper = 1e-6):
    """Move towards the first parameters minus a weighted sum of all gradients, over the cube root of that of squares.

        λ = (learning_rate + eps)·√t
        s = s + λ·g,   v = v + λ·|g|²
        z = x0 - s/(∛v + eps)
        u = (1 - momentum)·(z - w)

    The updates are steps: they have the sign of descent and the learning rate. Where x0 is far from w, the difference
    of both has the rounding of float32. Gradients above 1.8e19 (float32) count as 1.8e19.

    Args:
        learning_rate: finite, at least 0. Where it changes, the weights of later gradients change, and the step follows
            slowly.
        momentum: the share of w that is kept at each step; in [0, 1). With 0 the parameters are z.
        eps: added to the learning rate and to the cube root; finite, at least 0. With 0, an entry whose gradients have
            all been zero stays at z = x0.

    State: `ScaleByMadgradState`: count, int32 scalar, 0 at init; grad_sum_sq, like params, real, 0 at init; s, like
        params, 0 at init; x0, the parameters at init. grad_sum_sq stops at the largest number of its dtype.
    Raises: ValueError: an argument is out of range.
    Source: Defazio & Jelassi 2021 (arXiv:2101.11075), algorithm 1, with eps as in its authors' code. Same as
        optax.contrib, which computes λ in float32. Not in torch or Keras. Within 5e-6 of exact arithmetic over 1,000
        steps in float32, of the parameters and the way that they went.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> w, tx = jnp.array([1.0, 2.0]), gradtx.scale_by_madgrad(0.1, momentum=0.0, eps=0.0)
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(w), w)[0].round(4))
        [-0.0464  1.    ]
    """
    non_negative(learning_rate=learning_rate, eps=eps)
    below_one(momentum=momentum)

    def init(params):
        return ScaleByMadgradState(zero_count(), zeros(params, real=True), zeros(params), copied(params))

    def update(updates, state, params):
        t = increment(state.count)
        weight = (learning_rate + eps) * jnp.sqrt(t.astype(float_dtype(updates, state.s)))

        def leaf(g, v, s, x0, w):
            g, g_sq = clip_and_square(g)
            # The summand is bounded, not the sum, which XLA would compute twice.
            v = v + jnp.minimum(weight * g_sq, float(jnp.finfo(v.dtype).max) * (1 - 1e-6) - v)
            s = s + weight * g
            root = jnp.where(v == 0, 0.0, jnp.cbrt(jnp.where(v == 0, 1.0, v)))  # its derivative at 0 is infinite
            return (1.0 - momentum) * ((x0 - w) - quotient(s, root + eps)), v, s

        updates, v, s = map_leaves(leaf, updates, state.grad_sum_sq, state.s, state.x0, params)
        return updates, ScaleByMadgradState(t, v, s, state.x0)

    return init, update


@transformation
def madgrad(learning_rate: Hyper, momentum: Hyper = 0.9, weight_decay: Hyper | None = None, eps: Hyper = 1e-6):
    """MADGRAD: `add_decayed_weights` if asked for, then `scale_by_madgrad`.

    Args:
        learning_rate: at least 0; usually 1e-2, as for gradient descent rather than as for Adam.
        momentum, eps: as in `scale_by_madgrad`.
        weight_decay: as in `add_decayed_weights`: a multiple of the parameters that is added to the gradients;
            None for none.

    State: a chain's dict, with one entry: `ScaleByMadgradState`. Its update needs `params`.
    Source: Defazio & Jelassi 2021 (arXiv:2101.11075). Same as optax.contrib.
    """
    scaling = scale_by_madgrad(learning_rate, momentum, eps)
    return chain(scaling) if weight_decay is None else chain(add_decayed_weights(weight_decay), scaling)
