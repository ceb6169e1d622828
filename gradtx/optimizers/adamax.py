"""AdaMax: Adam in the infinity norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import bias_correction, clip_and_square, ema, increment, quotient, safe_sqrt, scale_down
from gradtx.core.states import Magnitude, Signed
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.optimizers.adam import zero_moments
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByAdamaxState(NamedTuple):
    """The state of `scale_by_adamax`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: Magnitude  # decaying maximum x of |g| + eps; like params, real, float32 or wider; 0 at init


def adamax_closures(b1: Any, b2: Any, eps: Any, outside: bool = False) -> tuple[Any, Any]:
    """The pair of `scale_by_adamax`; with `outside`, eps is added to the maximum instead of to the gradient in it."""
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps)

    def init(params):
        return ScaleByAdamaxState(*zero_moments(params))

    def update(updates, state, params=None):
        t = increment(state.count)
        c1 = bias_correction(b1, t, float_dtype(updates, state.mu))

        def leaf(g, mu, nu):
            mu = ema(mu, g, b1)
            size = safe_sqrt(clip_and_square(g)[1]) if jnp.iscomplexobj(g) else jnp.abs(g)
            nu = jnp.maximum(scale_down(nu, b2), size if outside else size + eps)
            return quotient(mu / c1, nu + eps if outside else nu), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamaxState(t, mu, nu)

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def scale_by_adamax(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8):
    """Divide a running mean of the gradients by a decaying maximum of their sizes: Adam in the infinity norm.

        m = b1·m + (1 - b1)·g
        x = max(b2·x, |g| + eps)
        u = m̂/x,   m̂ = m/(1 - b1^t)

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: the factor of the maximum at each step; in [0, 1).
        eps: added to |g|; finite, at least 0; gradient units. With 0, an entry whose gradients have all been zero has
            the update 0.

    State: `ScaleByAdamaxState`: count, int32 scalar; mu, like params; nu, like params, real: the maximum x; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 2, with eps inside the maximum as in optax and torch. Keras
        adds 1e-7 to the maximum instead. MLX does not correct m. Within 40 ulp of exact arithmetic over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adamax()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    return adamax_closures(b1, b2, eps)


@transformation
def adamax(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8):
    """AdaMax: `scale_by_adamax`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 2e-3, as in the paper.
        b1, b2, eps: as in `scale_by_adamax`.

    State: a chain's dict, with one entry: `ScaleByAdamaxState`.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), section 7.1. Same as optax and torch.
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@transformation
def adamaxw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-4,
    mask: Any = None,
):
    """AdaMax with decoupled weight decay: `scale_by_adamax`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 2e-3. It multiplies the weight decay too.
        b1, b2, eps: as in `scale_by_adamax`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdamaxState`. Its update needs `params`.
    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), section 4, for AdaMax. Same as optax. torch's `Adamax` adds its
        weight_decay to the gradient instead.
    """
    return chain(
        scale_by_adamax(b1, b2, eps), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate)
    )
