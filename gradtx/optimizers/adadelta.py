"""AdaDelta: steps in the units of the parameters."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import jax

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import abs_sq, clip_and_square, divide_by_root, ema, quotient, safe_sqrt
from gradtx.core.states import NonNegative
from gradtx.core.transformation import transformation
from gradtx.errors import in_unit_interval, non_negative
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByAdadeltaState(NamedTuple):
    """The state of `scale_by_adadelta`."""

    e_g: NonNegative  # running mean s of |g|²; like params, real, float32 or wider; 0 at init
    e_x: NonNegative  # running mean U of |u|²; like e_g; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, gradient_powers=lambda arguments: {"eps": 0})
def scale_by_adadelta(rho: Hyper = 0.9, eps: Hyper = 1e-6):
    """Multiply each entry by the running root mean square of its updates, divided by that of its gradients.

        s = rho·s + (1 - rho)·|g|²
        u = √(U + eps)/√(s + eps)·g
        U = rho·U + (1 - rho)·|u|²

    Updates have the units of the parameters, so they need no learning rate. Gradients above 1.8e19 (float32) count as
    1.8e19, since their squares would overflow.

    Args:
        rho: the weight of the past in both means; in [0, 1].
        eps: makes the first updates and keeps the divisor from zero; finite, at least 0. With 0 from the start
            every update is 0.

    State: `ScaleByAdadeltaState`: e_g and e_x, like params, real, float32 or wider, 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Zeiler 2012 (arXiv:1212.5701), algorithm 1, whose update is -u. Same as optax and torch. Keras: rho 0.95,
        eps 1e-7.
        Within 120 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adadelta(rho=0.75)
        >>> print(tx.update(jnp.array([1.0, -1000.0]), tx.init(jnp.zeros(2)))[0].round(6))
        [ 0.002 -0.002]
    """
    in_unit_interval(rho=rho)
    non_negative(eps=eps)

    def init(params):
        return ScaleByAdadeltaState(e_g=zeros(params, real=True), e_x=zeros(params, real=True))

    def update(updates, state, params=None):
        root = jax.lax.sqrt if isinstance(eps, float) and eps > 1e-30 else safe_sqrt  # never of 0 then; one fusion less
        divided = operator.truediv if root is jax.lax.sqrt else quotient

        def leaf(g, e_g, e_x):
            g, g_sq = clip_and_square(g)
            e_g = ema(e_g, g_sq, rho)
            if not (isinstance(rho, float) and rho >= 0.5):
                u = root(e_x + eps) * divide_by_root(g, e_g, eps_root=eps)
                return u, e_g, ema(e_x, abs_sq(u), rho)
            e_x = ema(e_x, (e_x + eps) * divided(g_sq, e_g + eps), rho)
            # The old e_x + eps is computed from the new e_x: XLA then overwrites the old one in place. Its divisor is
            # multiplied with e_g + eps: so no root and no quotient is kept for two readers.
            divisor = rho * (e_g + eps) + (1.0 - rho) * g_sq
            return root(e_x + rho * eps) * divided(g, root(divisor)), e_g, e_x

        updates, e_g, e_x = map_leaves(leaf, updates, state.e_g, state.e_x, idle=(rho, rho))
        return updates, ScaleByAdadeltaState(e_g, e_x)

    return init, update


@transformation
def adadelta(
    learning_rate: Hyper = 1.0,
    rho: Hyper = 0.9,
    eps: Hyper = 1e-6,
    weight_decay: Hyper | None = None,
    weight_decay_mask: Any = None,
):
    """AdaDelta: `add_decayed_weights` if asked for, `scale_by_adadelta`, then `scale_by_learning_rate`, usually with 1.

    Args:
        learning_rate: at least 0; 1, the default, as in the paper.
        rho, eps: as in `scale_by_adadelta`.
        weight_decay: as in `add_decayed_weights`; None for no decay. Its update then needs `params`.
        weight_decay_mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdadeltaState`.
    Source: Zeiler 2012 (arXiv:1212.5701). torch: learning rate 1 too. Keras: learning rate 0.001, rho 0.95, eps 1e-7.
        optax's default learning rate, None, omits the minus sign too, so `optax.adadelta()` ascends; this descends.
    """
    decay = () if weight_decay is None else (add_decayed_weights(weight_decay, weight_decay_mask),)
    return chain(*decay, scale_by_adadelta(rho, eps), scale_by_learning_rate(learning_rate))
