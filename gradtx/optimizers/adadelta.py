"""AdaDelta: steps in the units of the parameters."""

from __future__ import annotations

from typing import NamedTuple

from gradtx.core.chain import chain
from gradtx.core.errors import in_unit_interval, positive
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import abs_sq, clip_and_square, divide_by_root, ema, safe_sqrt
from gradtx.core.states import NonNegative
from gradtx.core.transformation import transformation
from gradtx.transforms.basic import scale_by_learning_rate


class ScaleByAdadeltaState(NamedTuple):
    """e_g: running mean s of |g|². e_x: running mean U of |u|². Like params, real, float32 or wider, 0 at init."""

    e_g: NonNegative
    e_x: NonNegative


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_adadelta(rho: Hyper = 0.9, eps: Hyper = 1e-6):
    """Scale each entry by the ratio of two running root mean squares: of its past steps, and of its gradients.

        s = rho·s + (1 - rho)·|g|²
        u = √(U + eps)/√(s + eps)·g
        U = rho·U + (1 - rho)·|u|²

    The units of u are those of the parameters, so that it needs no learning rate.

    Args:
        rho: the weight of the past in both means; in [0, 1].
        eps: starts the steps and keeps the divisor from zero; greater than 0, for with 0 nothing would ever move.

    State: `ScaleByAdadeltaState`: e_g and e_x, like params, real, float32 or wider, 0 at init.
    Raises: ValueError: an argument out of range.
    Source: Zeiler 2012 (arXiv:1212.5701), algorithm 1, whose step is -u. As optax and torch. Keras: rho 0.95, eps 1e-7.
        Within 120 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adadelta(rho=0.75)
        >>> print(tx.update(jnp.array([1.0, -1000.0]), tx.init(jnp.zeros(2)))[0].round(6))
        [ 0.002 -0.002]
    """
    in_unit_interval(rho=rho)
    positive(eps=eps)

    def init(params):
        return ScaleByAdadeltaState(e_g=zeros(params, real=True), e_x=zeros(params, real=True))

    def update(updates, state, params=None):
        def leaf(g, e_g, e_x):
            g, g_sq = clip_and_square(g)
            e_g = ema(e_g, g_sq, rho)
            scaled = divide_by_root(g, e_g, eps_root=eps)
            if not (isinstance(rho, float) and rho >= 0.5):
                u = safe_sqrt(e_x + eps) * scaled
                return u, e_g, ema(e_x, abs_sq(u), rho)
            q = abs_sq(scaled)
            e_x = ema(e_x, (e_x + eps) * q, rho)
            # e_x + eps of the old e_x, by the new one: the old is then overwritten, not copied.
            return safe_sqrt((e_x + rho * eps) / (rho + (1.0 - rho) * q)) * scaled, e_g, e_x

        updates, e_g, e_x = map_leaves(leaf, updates, state.e_g, state.e_x, idle=(rho, rho))
        return updates, ScaleByAdadeltaState(e_g, e_x)

    return init, update


@transformation
def adadelta(learning_rate: Hyper = 1.0, rho: Hyper = 0.9, eps: Hyper = 1e-6):
    """AdaDelta: `scale_by_adadelta`, then the rate, which may stay 1.

    Args:
        learning_rate: at least 0; 1, the default, is the paper.
        rho, eps: as in `scale_by_adadelta`.

    State: a chain's dict, with one entry: `ScaleByAdadeltaState`.
    Source: Zeiler 2012 (arXiv:1212.5701). torch: rate 1 too. Keras: rate 0.001, rho 0.95, eps 1e-7. optax's default
        rate of None leaves out the minus as well, so that `optax.adadelta()` ascends; this descends.
    """
    return chain(scale_by_adadelta(rho, eps), scale_by_learning_rate(learning_rate))
