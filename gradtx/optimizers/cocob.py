"""COCOB: no learning rate; each entry bets a part of its winnings."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import full, map_leaves, zeros
from gradtx.core.numerics import on_real_and_imag, quotient
from gradtx.core.states import Exact, ExactMagnitude
from gradtx.core.transformation import transformation
from gradtx.errors import at_least_one, finite, non_negative
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.lookup import copied


class ScaleByCocobState(NamedTuple):
    """The state of `scale_by_cocob`. Each field is like params, float32 or wider."""

    init_particles: Exact  # w₀: a copy of the parameters at init
    cumulative_gradients: ExactMagnitude  # G: the sum of |g|; 0 at init
    scale: ExactMagnitude  # L: the largest |g| so far; eps at init
    subgradients: Exact  # the sum of g; 0 at init
    reward: ExactMagnitude  # R: what the bets have won; 0 at init


@transformation(any_leaves=True)
def scale_by_cocob(alpha: Hyper = 100.0, eps: Number = 1e-8):
    """Bet, entry by entry, on the sum of the gradients so far; the steps lead to w₀ less the bet.

        L = max(L, |g|)
        G = G + |g|
        s = s + g
        R = max(0, R - g·(w - w₀))
        u = w - w₀ + s/(L·max(G + L, alpha·L))·(L + R)

    The first step is 1/alpha in each entry. If all gradients are multiplied by a number, only eps changes the steps.
    G and s become infinite where gradients add up to more than 3.4e38 (float32).
    Complex entries: real and imaginary parts by themselves.

    Args:
        alpha: until G + L is alpha times L, the bets are smaller; finite, at least 1.
        eps: the largest gradient before the first; finite, at least 0; gradient units.

    State: `ScaleByCocobState`: five trees like params, float32 or wider; a copy of the parameters, 0, eps, 0, 0 at
        init. Its update needs `params`.
    Raises: ValueError: an argument is out of range, or `params` is not given.
    Source: Orabona & Tommasi 2017 (arXiv:1705.07795), algorithm 2 (COCOB-Backprop). optax's `contrib.scale_by_cocob`.
        In `cocob()` the parameters are within 50 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_cocob(), jnp.zeros(3)
        >>> print(tx.update(jnp.array([-3.0, 0.0, 1e-3]), tx.init(w), w)[0].round(5))
        [-0.01  0.    0.01]
    """
    finite(alpha=alpha)
    at_least_one(alpha=alpha)
    non_negative(eps=eps)

    def init(params):
        start = full(params, eps)
        return ScaleByCocobState(copied(params), zeros(params), start, zeros(params), zeros(params))

    @on_real_and_imag
    def leaf(g, w, w0, total, largest, s, reward):
        size = jnp.abs(g)
        largest = jnp.maximum(largest, size)
        total, s = total + size, s + g
        # Not a maximum with 0, which XLA would compute twice; and not w - w0 as below, which it would keep in memory.
        won = g * (w0 - w)
        reward = jnp.where(reward < -won, 0.0, reward + won)
        share = jnp.maximum(quotient(total, largest) + 1.0, alpha)
        bet = quotient(s, largest) / share * (1.0 + quotient(reward, largest))
        return (w - w0) + bet, w, w0, total, largest, s, reward

    def update(updates, state, params):
        updates, _, *fields = map_leaves(leaf, updates, params, *state)
        return updates, ScaleByCocobState(*fields)

    return init, update


@transformation
def cocob(learning_rate: Hyper = 1.0, alpha: Hyper = 100.0, eps: Number = 1e-8, *, weight_decay: Hyper = 0.0):
    """COCOB: `add_decayed_weights`, `scale_by_cocob`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; with 1 the steps are those of the paper.
        alpha, eps: as in `scale_by_cocob`.
        weight_decay: as in `add_decayed_weights`.

    State: a chain's dict, with one entry: `ScaleByCocobState`. Its update needs `params`.
    Source: Orabona & Tommasi 2017 (arXiv:1705.07795), algorithm 2. optax's `contrib.cocob`, where
        the learning rate multiplies the gradients, and so changes nothing.
    """
    return chain(add_decayed_weights(weight_decay), scale_by_cocob(alpha, eps), scale_by_learning_rate(learning_rate))
