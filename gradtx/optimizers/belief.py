"""AdaBelief and ACProp: division by how far gradients are from their running mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import abs_sq, bias_correction, clip_and_square, divide_by_root, ema, increment, zero_count
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.optimizers.adam import corrected_mean
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByBeliefState(NamedTuple):
    """The state of `scale_by_belief` and `scale_by_acprop`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running mean s of |g - m|²; like params, real, float32 or wider; 0 at init


def _init(params: Any) -> ScaleByBeliefState:
    return ScaleByBeliefState(zero_count(), mu=zeros(params), nu=zeros(params, real=True))


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `scale_by_belief` uses `nu`, for the trait `divides`."""
    return {"nu": Divisor(0.0, given["eps"], bias_correction(given["b2"], state.count, jnp.float32))}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors)
def scale_by_belief(
    b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-16, eps_root: Hyper = 1e-16, *, nesterov: bool = False
):
    """Divide a running mean of the gradients by the root of a running mean of their squared distances from it.

        m = b1·m + (1 - b1)·g
        s = b2·s + (1 - b2)·|g - m|² + eps_root
        u = m̂/(√ŝ + eps),   m̂ = m/(1 - b1^t),   ŝ = s/(1 - b2^t)

    Where gradients hardly change, steps become long: under a constant gradient g - m goes to 0, and the step grows as
    b2^(-t/2) until eps_root, of which the sum keeps eps_root/(1 - b2), stops it. Gradients above 9.2e18 (float32) count
    as 9.2e18, since the square of the difference of two would overflow.

    Args:
        b1: the weight of the past in m; in [0, 1). With 0, g - m is 0, and only eps_root divides.
        b2: the weight of the past in s; in [0, 1).
        eps: added to the root; finite, at least 0; gradient units.
        eps_root: added to s in every step; finite, at least 0; gradient units squared. With 0 for both, an entry whose
            distances have all been zero has the update 0.
        nesterov: take m̂ one step ahead, as `scale_by_nadam` does.

    State: `ScaleByBeliefState`: count, int32 scalar; mu, like params; nu, like params, real: s; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Zhuang et al. 2020 (arXiv:2010.07468), algorithm 2; nesterov from Dozat 2016. Same as optax. Not in torch
        or Keras. The distance is a difference of nearly equal numbers where gradients are nearly constant; otherwise
        within 80 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_belief()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1.1111 -1.1111]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c2, mean = bias_correction(b2, t, width), corrected_mean(b1, t, width, nesterov)
        added = eps_root / (1.0 - b2)  # inside the average: XLA would compute a sum after it twice

        def leaf(g, mu, nu):
            g, g_sq = clip_and_square(g, room=0.5)
            mu = ema(mu, g, b1)
            nu = ema(nu, abs_sq(g - mu) + 0.0 * g_sq + added, b2)  # NaN for an infinite g
            return divide_by_root(mean(g, mu), nu / c2, eps), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu)
        return updates, ScaleByBeliefState(t, mu, nu)

    return _init, update


@transformation(any_leaves=True)
def scale_by_acprop(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-16, eps_root: Hyper = 1e-16):
    """Divide each gradient by the root of a running mean of earlier squared distances from a running mean.

        u = g/(√ŝ + eps),   ŝ = s/(1 - b2^(t - 1));   u = g at the first step
        s = b2·s + (1 - b2)·|g - m|² + eps_root
        m = b1·m + (1 - b1)·g

    The divisor does not depend on the gradient that it divides. So a gradient that is large after many small ones makes
    a long step, and so does the first one: a learning rate that rises from 0, or a clip, helps. Gradients above 9.2e18
    (float32) count as 9.2e18, since the square of the difference of two would overflow.

    Args:
        b1: the weight of the past in m; in [0, 1).
        b2: the weight of the past in s; in [0, 1).
        eps, eps_root: as in `scale_by_belief`.

    State: `ScaleByBeliefState`: count, int32 scalar; mu, like params; nu, like params, real: s; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Zhuang et al. 2021 (arXiv:2110.05454), algorithm 2, with the distance from the mean before the step and the
        first step as in optax.contrib, which does the same. Within 80 ulp of exact arithmetic over 1,000 steps in
        float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_acprop()
        >>> u, state = tx.update(jnp.array([0.25, -2.0]), tx.init(jnp.zeros(2)))
        >>> print(u, tx.update(jnp.array([1.0, 1.0]), state)[0].round(4))
        [ 0.25 -2.  ] [4.  0.5]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        first = state.count == 0
        c2 = jnp.where(first, 1.0, bias_correction(b2, state.count, width))
        added = eps_root / (1.0 - b2)

        def leaf(g, mu, nu):
            g, g_sq = clip_and_square(g, room=0.5)
            u = divide_by_root(g, jnp.where(first, 1.0, nu / c2), jnp.where(first, 0.0, eps))
            new = ema(mu, g, b1)
            # The distance from the old m is computed from the new m: XLA then overwrites the old one in place.
            distance = (g - new) / b1 if isinstance(b1, float) and b1 >= 0.5 else g - mu
            return u, new, ema(nu, abs_sq(distance) + 0.0 * g_sq + added, b2)

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu)
        return updates, ScaleByBeliefState(t, mu, nu)

    return _init, update


@transformation
def adabelief(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
    *,
    nesterov: bool = False,
):
    """AdaBelief: `scale_by_belief`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1, b2, eps, eps_root, nesterov: as in `scale_by_belief`.

    State: a chain's dict, with one entry: `ScaleByBeliefState`.
    Source: Zhuang et al. 2020 (arXiv:2010.07468). Same as optax.
    """
    return chain(scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov), scale_by_learning_rate(learning_rate))


@transformation
def acprop(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """ACProp: `scale_by_acprop`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        b1, b2, eps, eps_root: as in `scale_by_acprop`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByBeliefState`. Its update needs `params`.
    Source: Zhuang et al. 2021 (arXiv:2110.05454). Same as optax.contrib.
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
