"""RMSProp: division by a running root mean square or, if centered, by a running standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import float_dtype, full, map_leaves, zeros
from gradtx.core.numerics import abs_sq, clip_and_square, divide_by_root, ema, increment, scale_down, zero_count
from gradtx.core.numerics import bias_correction as correction
from gradtx.core.states import NonNegative, Signed
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, non_negative
from gradtx.moments.means import ENTRYWISE
from gradtx.moments.moment import Moment, divided, require_moment, started
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, add_nesterov_momentum


class ScaleByRmsState(NamedTuple):
    """The state of `scale_by_rms`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    nu: NonNegative  # running mean s of |g|²; like params, real, or what the moment keeps; `initial_scale` at init


class ScaleByStddevState(NamedTuple):
    """The state of `scale_by_stddev`. With bias_correction, mu and nu are kept corrected."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init
    nu: NonNegative  # running variance s - |m|²; like params, real, float32 or wider; `initial_scale` at init


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `nu` is used, for the trait `divides`."""
    eps = (given["eps"], 0.0) if given["eps_in_sqrt"] else (0.0, given["eps"])
    # The state of scale_by_stddev is kept corrected.
    corrects = given["bias_correction"] and isinstance(state, ScaleByRmsState)
    return {"nu": Divisor(*eps, correction(given["decay"], state.count, jnp.float32) if corrects else 1.0)}


def powers_of_eps(arguments: Mapping[str, Any]) -> dict[str, int]:
    """The trait `gradient_powers` where `eps_in_sqrt` says whether eps is added to squares of gradients."""
    return {"eps": 2 if arguments["eps_in_sqrt"] else 1}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors, gradient_powers=powers_of_eps)
def scale_by_rms(
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
    *,
    moment: Moment = ENTRYWISE,
):
    """Divide each entry by a running root mean square of its gradients.

        s = decay·s + (1 - decay)·|g|²
        u = g/√(s + eps)      or g/(√s + eps);   with bias_correction, s/(1 - decay^t) instead of s

    From s = 0 the first update is g/|g|·1/√(1 - decay), whatever the size of the gradient. With decay = 0 every update
    is the sign of the gradient. With decay = 1 the divisor is always √(`initial_scale` + eps). Gradients above 1.8e19
    (float32) count as 1.8e19, since their squares would overflow.

    Args:
        decay: the weight of the past; in [0, 1]; below 1 with bias_correction.
        eps: keeps the divisor from zero; finite, at least 0. With 0, an entry whose gradients have all been zero has
            the update 0.
        initial_scale: s before the first step; finite, at least 0; gradient units squared.
        eps_in_sqrt: add eps inside the root (the default, as in optax and Keras) or outside (torch).
        bias_correction: divide s by the sum of its weights so far.
        moment: which squares s is the mean of, as in `divide_by_rms`.

    State: `ScaleByRmsState`: count, int32 scalar, 0 at init; nu, like params, real, float32 or wider, `initial_scale`
        at init; with another moment, what that keeps. The same with and without bias_correction.
    Raises: ValueError: an argument is out of range, or the moment cannot take a leaf. TypeError: moment is none.
    Source: Tieleman & Hinton 2012, lecture 6.5; Graves 2013 (arXiv:1308.0850), equations 38 to 45, without the mean.
        Same as optax, whose state has a count only with bias_correction. torch: decay 0.99, eps outside. Keras: eps
        1e-7. Within 20 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_rms(decay=0.75, eps=0.0)
        >>> print(tx.update(jnp.array([0.001, -1000.0]), tx.init(jnp.zeros(2)))[0])
        [ 2. -2.]
    """
    eps_out_in = _checked(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    require_moment(moment)

    def init(params):
        return ScaleByRmsState(zero_count(), started(moment, params, initial_scale))

    def update(updates, state, params=None):
        t = increment(state.count)
        c = correction(decay, t, float_dtype(updates, state.nu)) if bias_correction else 1.0

        def leaf(g, nu):
            return divide_by_root(g, nu / c if bias_correction else nu, *eps_out_in)

        def step(nu, g_sq):
            return ema(nu, g_sq, decay)

        updates, nu = divided(moment, leaf, updates, state.nu, step=step, idle=decay)
        return updates, ScaleByRmsState(t, nu)

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors, gradient_powers=powers_of_eps)
def scale_by_stddev(
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
):
    """Divide each entry by a running standard deviation of its gradients: RMSProp, centered.

        m = decay·m + (1 - decay)·g
        s = decay·s + (1 - decay)·|g|²
        u = g/√(s - |m|² + eps)      or g/(√(s - |m|²) + eps)

    The state keeps the variance v = s - |m|² itself, by the identity v = decay·(v + (1 - decay)·|g - m|²) with the old
    m. This is a sum of squares and never negative; the difference of two close numbers would lose its digits. With
    bias_correction, s and m are divided by 1 - decay^t first and kept so. The variance of the first step is then 0, and
    its update g/√eps. Gradients above 9.2e18 (float32) count as 9.2e18, since the square of the difference of two would
    overflow.

    Args:
        decay: the weight of the past; in [0, 1]; below 1 with bias_correction.
        eps: keeps the divisor from zero; finite, at least 0. With 0, an entry whose gradients have not varied has the
            update 0.
        initial_scale: v before the first step; finite, at least 0; gradient units squared.
        eps_in_sqrt: add eps inside the root (the default, as in optax and Keras) or outside (torch).
        bias_correction: divide both averages by the sum of their weights so far.

    State: `ScaleByStddevState`: count, int32 scalar, 0 at init; mu, like params, 0 at init; nu, like params, real,
        `initial_scale` at init; mu and nu float32 or wider.
    Raises: ValueError: an argument is out of range.
    Source: Graves 2013 (arXiv:1308.0850), equations 38 to 45. optax's `scale_by_stddev` and torch's `RMSprop(centered)`
        keep s and subtract. Within 50 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_stddev(decay=0.5, eps=0.0)
        >>> print(tx.update(jnp.array([0.001, -1000.0]), tx.init(jnp.zeros(2)))[0])
        [ 2. -2.]
    """
    eps_out_in = _checked(decay, eps, initial_scale, eps_in_sqrt, bias_correction)

    def init(params):
        return ScaleByStddevState(zero_count(), mu=zeros(params), nu=full(params, initial_scale, real=True))

    def update(updates, state, params=None):
        t = increment(state.count)
        rate, start = 1.0 - decay, 0.0
        if bias_correction:
            c = correction(decay, t, float_dtype(updates, state.nu))
            rate, start = jnp.asarray(rate, c.dtype) / c, jnp.asarray(initial_scale, c.dtype) * (1.0 - c) / c
            rate = jnp.where(state.count == 0, 1.0, rate)  # exactly, so that the first gradient is the first mean

        def leaf(g, mu, nu):
            cut, cut_sq = clip_and_square(g, room=0.5)
            new = mu + rate * (cut - mu) if bias_correction else ema(mu, cut, decay)
            # Where possible, g - m of the old m is computed from the new m: XLA then overwrites the old one in place.
            by_new = not bias_correction and isinstance(decay, float) and decay >= 0.5
            deviation = (cut - new) / decay if by_new else cut - mu
            nu = nu + rate * (abs_sq(deviation) + 0.0 * cut_sq)  # NaN for an infinite g
            nu = nu - rate * nu if bias_correction else scale_down(nu, decay)
            if not by_new:  # added 0 times, nu says that m is overwritten after it has been read for nu
                new = new + 0.0 * jnp.clip(nu, 0.0, 1.0)
            return divide_by_root(cut, nu + start, *eps_out_in), new, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu)
        return updates, ScaleByStddevState(t, mu, nu)

    return init, update


def _checked(decay: Any, eps: Any, initial_scale: Any, eps_in_sqrt: bool, bias_correction: bool) -> tuple[Any, Any]:
    """Check the hyperparameters; eps outside the root, and eps inside."""
    (below_one if bias_correction else in_unit_interval)(decay=decay)
    non_negative(eps=eps, initial_scale=initial_scale)
    return (0.0, eps) if eps_in_sqrt else (eps, 0.0)


@transformation
def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    rate_in_momentum: bool = True,
):
    """RMSProp: `scale_by_rms`, or `scale_by_stddev` if centered, then `scale_by_learning_rate`, then momentum, if any.

    Args:
        learning_rate: at least 0; usually 1e-3.
        decay, eps, initial_scale, eps_in_sqrt, bias_correction: as in `scale_by_rms`.
        centered: divide by the standard deviation, with `scale_by_stddev`.
        momentum: `decay` of `add_momentum`, applied to the scaled updates; None for no momentum.
        nesterov: use `add_nesterov_momentum`.
        rate_in_momentum: multiply by the learning rate before the momentum (optax, Keras) or after it (torch). This
            makes a difference when the learning rate changes.

    State: a chain's dict, with one entry: `ScaleByRmsState` or `ScaleByStddevState`, and the momentum's, if any.
    Raises: ValueError: nesterov without momentum.
    Source: Tieleman & Hinton 2012; Graves 2013 if centered. torch: decay 0.99, eps_in_sqrt False, rate_in_momentum
        False. Keras: eps 1e-7.
    """
    scaling = scale_by_stddev if centered else scale_by_rms
    scaled = scaling(decay, eps, initial_scale, eps_in_sqrt=eps_in_sqrt, bias_correction=bias_correction)
    rate = scale_by_learning_rate(learning_rate)
    if momentum is None:
        if nesterov:
            raise ValueError("nesterov needs a momentum, for instance momentum=0.9")
        return chain(scaled, rate)
    trace = (add_nesterov_momentum if nesterov else add_momentum)(momentum)
    return chain(scaled, rate, trace) if rate_in_momentum else chain(scaled, trace, rate)
