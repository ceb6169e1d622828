"""A filtered gradient over the root mean square of the gradient: the quotient of Adam, with any numerator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import bias_correction as correction
from gradtx.core.numerics import clip_and_square, divide_by_root, ema, increment, safe_sqrt, zero_count
from gradtx.core.numerics import quotient as quotient_of
from gradtx.core.pair import require_changeable
from gradtx.core.special import SpecialLeaf, is_leaf
from gradtx.core.states import NonNegative
from gradtx.core.traits import Divisor
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import require_same_tree
from gradtx.errors import below_one, in_unit_interval, non_negative, positive
from gradtx.moments.means import ENTRYWISE
from gradtx.moments.moment import Moment, divided, require_moment, started
from gradtx.transforms.basic import identity
from gradtx.transforms.norms import within

NOTHING = identity()


class DivideByRmsState(NamedTuple):
    """The state of `divide_by_rms`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    nu: NonNegative  # running mean v of |g|²; what the moment keeps: like params, real, float32 or wider, or less
    inner: Any  # the state of the filter


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `nu` is used, for the trait `divides`."""
    weight = correction(given["b2"], state.count, jnp.float32) if given["bias_correction"] else 1.0
    return {"nu": Divisor(given["eps_root"], given["eps"], weight)}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors)
def divide_by_rms(
    filter: Transformation,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    bias_correction: bool = True,
    moment: Moment = ENTRYWISE,
):
    """Divide what a transformation makes of the gradients by the root of a running mean of their squares.

        m = filter(g)
        v = b2·v + (1 - b2)·|g|²
        u = m/(√(v̂ + eps_root) + eps),   v̂ = v/(1 - b2^t)   with bias_correction, else v

    The filter sees the gradients that came in, and v their squares: `divide_by_rms(ema(b1))` is `scale_by_adam(b1)`.
    Gradients above 1.8e19 (float32) count as 1.8e19 for both, since their squares would overflow.

    Around an average, a step moves as many bytes as with `scale_by_adam`, 40 for each parameter (float32, CPU), holds
    no copy of a leaf, compiles and runs in the same time, and in a chain is traced in it too. Alone, with hundreds of
    leaves, it takes 1.5 times as long to trace and lower.

    Args:
        filter: the transformation that gives the numerator; usually an average of the gradients.
        b2: the weight of the past in v; in [0, 1]; below 1 with bias_correction.
        eps: added outside the root; finite, at least 0; gradient units. With 0, an entry whose gradients have all been
            zero has the update 0.
        eps_root: added inside the root; finite, at least 0; gradient units squared.
        bias_correction: divide v by the sum of its weights so far.
        moment: which squares v is the mean of, a value of `gradtx.moments`: `full()`, each entry's own; `per_leaf()`,
            `per_row()`, `per_column()`, `per(axes)`, `blocks(count)`; `factored()` for a product of the means of rows
            and columns; `max_of_axes()`.

    State: `DivideByRmsState`: count, int32 scalar; nu, like params, real, or what another moment keeps; 0 at init;
        inner, the state of the filter.
    Raises: ValueError: an argument is out of range, or the moment cannot take a leaf. TypeError: moment is none.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1, with any numerator. Not in optax, torch or Keras. Around an
        average within 30 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.divide_by_rms(gradtx.add_momentum(0.9), eps=0.0)
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1. -1.]
    """
    (below_one if bias_correction else in_unit_interval)(b2=b2)
    non_negative(eps=eps, eps_root=eps_root)
    require_changeable("divide_by_rms", filter)
    require_moment(moment)

    def init(params):
        return DivideByRmsState(zero_count(), started(moment, params), filter.init(params))

    def update(updates, state, params=None, **extra):
        t = increment(state.count)
        c = correction(b2, t, float_dtype(updates, state.nu)) if bias_correction else 1.0

        def leaf(g, v, numerator):
            return divide_by_root(numerator, v / c if bias_correction else v, eps, eps_root)

        def step(nu, g_sq):
            return ema(nu, g_sq, b2)

        numerators, inner = filter.update(
            map_leaves(lambda g: clip_and_square(g)[0], updates), state.inner, params, **extra
        )
        require_same_tree("update of the filter", numerators, "gradient", updates)
        numerators = jax.tree.map(_in_rows_of, updates, numerators, is_leaf=is_leaf)
        updates, nu = divided(moment, leaf, updates, state.nu, numerators, step=step, idle=b2)
        return updates, DivideByRmsState(t, nu, inner)

    return init, update


class DivideByCappedRmsState(NamedTuple):
    """The state of `divide_by_capped_rms`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    nu: NonNegative  # running mean v of |g|²; like params, real, float32 or wider; 0 at init
    inner: Any  # the state of the filter
    after: Any  # the state of what comes before the cap


@transformation
def divide_by_capped_rms(
    filter: Transformation,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-8,
    *,
    threshold: Hyper = 1.0,
    after: Transformation = NOTHING,
):
    """As `divide_by_rms`, with shorter steps for leaves whose gradients are larger than their second moment says.

        u = after(filter(g)/(√v̂ + eps))/max(1, RMS/threshold),   RMS² = mean(|g|²/max(v̂, eps²))   of each leaf

    When gradients grow at once, v̂ lags behind, and RMS is above 1. Gradients above 1.8e19 (float32) count as 1.8e19,
    since their squares would overflow.

    Args:
        filter, b2, eps: as in `divide_by_rms`; with bias correction.
        threshold: the largest RMS of a leaf that leaves its step as it is; greater than 0; infinity for no cap.
        after: a transformation of the quotient before the cap, so that the cap holds for it too: weight decay.

    State: `DivideByCappedRmsState`: count, int32 scalar; nu, like params, real; 0 at init; inner and after, the states
        of the two transformations.
    Raises: ValueError: an argument is out of range.
    Source: StableAdamW, Wortsman et al. 2023 (arXiv:2304.13013), algorithm 2, with any numerator. Not in optax, torch
        or Keras. Around an average within 20 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.divide_by_capped_rms(gradtx.identity(), b2=0.5, eps=0.0)
        >>> _, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
        >>> print(tx.update(jnp.array([3.0]), state)[0].round(4))  # v̂ = 19/3: u = 1.1921, and so is RMS
        [1.]
    """
    below_one(b2=b2)
    non_negative(eps=eps)
    positive(threshold=threshold)
    require_changeable("divide_by_capped_rms", filter)
    require_changeable("divide_by_capped_rms", after)
    quotient = divide_by_rms(filter, b2, eps)

    def init(params):
        count, nu, inner = quotient.init(params)
        return DivideByCappedRmsState(count, nu, inner, after.init(params))

    def update(updates, state, params=None, **extra):
        count, nu, inner, after_state = state
        of_filter = filter.extras.taken(extra)
        steps, state = quotient.update(updates, DivideByRmsState(count, nu, inner), params, **of_filter)
        steps, after_state = after.update(steps, after_state, params, **after.extras.taken(extra))
        c = correction(b2, state.count, float_dtype(updates, state.nu))

        def leaf(u, g, nu):
            # Of at most 1/(1 - b2) each, since v̂ holds the square too: the sum does not overflow.
            ratios = quotient_of(clip_and_square(g)[1], jnp.maximum(nu / c, eps * eps))
            return u * within(threshold, safe_sqrt(jnp.sum(ratios) / max(g.size, 1)))

        steps = map_leaves(leaf, steps, updates, state.nu)
        return steps, DivideByCappedRmsState(state.count, state.nu, state.inner, after_state)

    return init, update


def _in_rows_of(g: Any, numerator: Any) -> Any:
    """The numerator in the rows of a gradient that comes row by row; the numerator has the same rows."""
    return g.replaced(numerator.entries()) if isinstance(g, SpecialLeaf) else numerator
