"""Adan: Nesterov's momentum from the differences of gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import (
    abs_sq,
    bias_correction,
    clip_and_square,
    divide_by_root,
    ema,
    increment,
    zero_count,
)
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByAdanState(NamedTuple):
    """The state of `scale_by_adan`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    m: Signed  # running mean of g; like params, float32 or wider; 0 at init
    v: Signed  # running mean of the differences d; like m; 0 at init
    n: NonNegative  # running mean of |g + b2·d|²; like params, real, float32 or wider; 0 at init
    g: Signed  # the last gradient; like m; 0 at init


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `n` is used, for the trait `divides`."""
    return {"n": Divisor(given["eps_root"], given["eps"], bias_correction(given["b3"], state.count, jnp.float32))}


@transformation(any_leaves=True, divides=_divisors)
def scale_by_adan(b1: Hyper = 0.98, b2: Hyper = 0.92, b3: Hyper = 0.99, eps: Hyper = 1e-8, eps_root: Hyper = 0.0):
    """Add a mean of the changes of the gradients to their mean, and divide by the root of a mean of squares of both.

        d = g - g_last      0 at the first step
        m = b1·m + (1 - b1)·g
        v = b2·v + (1 - b2)·d
        n = b3·n + (1 - b3)·|g + b2·d|²
        u = (m̂ + b2·v̂)/(√(n̂ + eps_root) + eps),   each mean over its sum of weights, 1 - b^t

    Gradients above 4.6e18 (float32) count as 4.6e18, since the square of a sum of three would overflow.

    Args:
        b1, b2, b3: the weights of the past in m, v and n; in [0, 1).
        eps: added outside the root; finite, at least 0; gradient units. With 0, an entry whose gradients have all been
            zero has the update 0.
        eps_root: added inside the root; finite, at least 0; gradient units squared.

    State: `ScaleByAdanState`: count, int32 scalar; m, v and g, like params; n, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Xie et al. 2022 (arXiv:2208.06677), algorithm 1, where β is 1 - b, with the corrections of its authors'
        code. optax takes 1 - b2 (0.08) for both factors b2 (0.92) of the differences. Not in torch or Keras. Within 80
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_adan()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    below_one(b1=b1, b2=b2, b3=b3)
    non_negative(eps=eps, eps_root=eps_root)

    def init(params):
        n = zeros(params, real=True)
        return ScaleByAdanState(zero_count(), zeros(params), zeros(params), n, zeros(params))

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.m)
        c1, c2, c3 = (bias_correction(b, t, width) for b in (b1, b2, b3))
        changes = jnp.where(state.count == 0, 0.0, 1.0).astype(width)

        def leaf(g, m, v, n, last):
            # The gradient is kept as it came: XLA would keep a clipped one in a temporary.
            (cut, g_sq), (cut_last, _) = clip_and_square(g, room=0.25), clip_and_square(last, room=0.25)
            d = changes * (cut - cut_last)
            m, v = ema(m, cut, b1), ema(v, d, b2)
            n = ema(n, abs_sq(cut + b2 * d) + 0.0 * g_sq, b3)  # NaN for an infinite g
            return divide_by_root(m / c1 + b2 * (v / c2), n / c3, eps, eps_root), m, v, n, g

        updates, *new = map_leaves(leaf, updates, state.m, state.v, state.n, state.g)
        return updates, ScaleByAdanState(t, *new)

    return init, update


@transformation
def adan(
    learning_rate: Hyper,
    b1: Hyper = 0.98,
    b2: Hyper = 0.92,
    b3: Hyper = 0.99,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """Adan: `scale_by_adan`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3 to 1e-2, larger than Adam's. It multiplies the weight decay too.
        b1, b2, b3, eps, eps_root: as in `scale_by_adan`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdanState`. Its update needs `params`.
    Source: Xie et al. 2022 (arXiv:2208.06677). The paper's decay is proximal: it divides the new parameters by
        1 + learning_rate·weight_decay. This one is decoupled as in `adamw` and optax. optax's eps_root is 1e-8.
    """
    return chain(
        scale_by_adan(b1, b2, b3, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
