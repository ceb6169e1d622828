"""Adagrad and SM3: division by the root of a sum of squares, or of a bound of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.numerics import divide_by_root
from gradtx.core.states import NonNegative
from gradtx.core.traits import Divisor
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.moments.largest import max_of_axes
from gradtx.moments.means import ENTRYWISE
from gradtx.moments.moment import Moment, divided, require_moment, started
from gradtx.optimizers.rmsprop import powers_of_eps
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import ema


class AccumulateSquaresState(NamedTuple):
    """The state of `accumulate_squares`."""

    sum_of_squares: NonNegative  # s; like params, real, float32 or wider; `initial_accumulator_value` at init


def _divisors(given: Mapping[str, Any], state: Any) -> dict[str, Divisor]:
    """How `sum_of_squares` is used, for the trait `divides`."""
    eps = (given["eps"], 0.0) if given["eps_in_sqrt"] else (0.0, given["eps"])
    return {"sum_of_squares": Divisor(*eps)}


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=_divisors, gradient_powers=powers_of_eps)
def accumulate_squares(
    initial_accumulator_value: Number = 0.1,
    eps: Hyper = 1e-7,
    *,
    eps_in_sqrt: bool = True,
    moment: Moment = ENTRYWISE,
):
    """Divide each entry by the root of the sum of the squares of all its gradients so far.

        s = s + |g|²
        u = g/√(s + eps)      or g/(√s + eps)

    Gradients above 1.8e19 (float32) count as 1.8e19, since their squares would overflow. The sum stops at 3.4e38, the
    largest number. From then on updates are too large, by at most √k, where k is the number of steps so far.

    Args:
        initial_accumulator_value: s before the first step; finite, at least 0; gradient units squared.
        eps: keeps the divisor from zero; finite, at least 0. With 0, an entry whose gradients have all been zero has
            the update 0.
        eps_in_sqrt: add eps inside the root (the default, as in optax and Keras) or outside (torch, the paper's δ).
        moment: which squares s is the sum of, as in `divide_by_rms`. With `moments.full()`, the default, s is a sum for
            each entry; with others, a sum of means or a bound of the sums.

    State: `AccumulateSquaresState`: sum_of_squares, like params, real, float32 or wider; with another moment, what that
        keeps.
    Raises: ValueError: an argument is negative, or the moment cannot take a leaf. TypeError: moment is none.
    Source: Duchi, Hazan & Singer 2011, section 1.1 and figure 1 (diagonal). optax's `scale_by_rss`, which adds eps
        inside only. torch's `Adagrad`: initial 0, eps 1e-10 outside, and a learning rate that decays. Keras: as here.
        Within 40 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.accumulate_squares(0.0, eps=0.0)
        >>> u, state = tx.update(jnp.array(3.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(4.0), state)[0])
        1.0 0.8
    """
    non_negative(initial_accumulator_value=initial_accumulator_value, eps=eps)
    require_moment(moment)
    eps_out_in = (0.0, eps) if eps_in_sqrt else (eps, 0.0)

    def init(params):
        return AccumulateSquaresState(started(moment, params, initial_accumulator_value))

    def update(updates, state, params=None):
        def leaf(g, s):
            return divide_by_root(g, s, *eps_out_in)

        def step(s, g_sq):
            # The square is bounded before the addition. XLA would compute a bounded sum twice, and copy s for that.
            return s + jnp.minimum(g_sq, float(jnp.finfo(s.dtype).max) * (1 - 1e-6) - s)

        updates, s = divided(moment, leaf, updates, state.sum_of_squares, step=step)
        return updates, AccumulateSquaresState(s)

    return init, update


@transformation
def adagrad(
    learning_rate: Hyper,
    initial_accumulator_value: Number = 0.1,
    eps: Hyper = 1e-7,
    *,
    eps_in_sqrt: bool = True,
):
    """Adagrad: `accumulate_squares`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-2 or 1e-3.
        initial_accumulator_value, eps, eps_in_sqrt: as in `accumulate_squares`.

    State: a chain's dict, with one entry: `AccumulateSquaresState`.
    Source: Duchi, Hazan & Singer 2011. Defaults as in optax and Keras. torch: initial 0, eps 1e-10 outside the root.
    """
    return chain(
        accumulate_squares(initial_accumulator_value, eps, eps_in_sqrt=eps_in_sqrt),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def sm3(learning_rate: Hyper, momentum: Hyper = 0.9):
    """SM3: `accumulate_squares` with one number for each index of each axis, `ema`, then `scale_by_learning_rate`.

    A sum of squares that would be infinite stops at the largest number; steps are then too long.

    Args:
        learning_rate: at least 0; that of Adagrad.
        momentum: `decay` of `ema`, without bias correction.

    State: a chain's dict: `AccumulateSquaresState` with as many trees as the largest number of axes; `EmaState`.
    Raises: ValueError: an argument is out of range.
    Source: SM3-II, Anil et al. 2019 (arXiv:1901.11150), algorithm 2, with rows and columns as cover. Same as optax.
        Within 30 ulp of exact arithmetic over 1,000 steps in float32.
    """
    below_one(momentum=momentum)
    return chain(
        accumulate_squares(0.0, 1e-8, moment=max_of_axes()),
        ema(momentum, debias=False),
        scale_by_learning_rate(learning_rate),
    )
