"""Averages of the parameters along the way: of all, of the last ones, of some, or fading."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.apply import apply_updates
from gradtx.core.errors import at_least_one, below_one, in_unit_interval, non_negative
from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import bias_correction, increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.wrappers.lookup import copied, only_trained, the_state, with_params


class AverageState(NamedTuple):
    """Fields: count, n_averaged, average, inner."""

    count: jax.Array  # updates done, int32 scalar; 0 at init
    n_averaged: jax.Array  # how many of the parameters are in the average, int32 scalar; 0 at init
    average: Exact  # the average itself, like params, float32 or wider; a copy of the parameters at init
    inner: Any  # the inner transformation's state


@transformation(any_leaves=True)
def average(
    inner: Transformation,
    decay: Hyper | None = None,
    *,
    start: Count = 0,
    every: Count = 1,
    debias: bool = True,
):
    """Keep an average of the parameters as they are after each update, and leave the updates as they are.

        a = a + c·(w - a)      for the n-th w that is averaged
        c = 1/n                without decay: the plain mean
        c = (1 - decay)/(1 - decay^n)      with decay;   c = 1 - decay, with debias=False

    What is stored is what `averaged(state)` reads. w is the parameter as it is stored, rounded to its own type. Through
    the first `start` updates a is w itself; from there, until the first w is taken, a stays.

    The average is of the parameters that `apply_updates` makes from the updates as they leave here: in a chain this
    belongs to the end, and among wrappers outside those that change the updates. It counts every update that it sees,
    also one that does not move: so it belongs inside `accumulate` and what skips, `accumulate(average(tx), 4)`, or the
    same w is averaged four times, and a decay is four times as fast. A step of a below its rounding is lost (in
    float32, where w differs from a by less than 6e-8·a/c): `every` makes long averages more exact.

    Args:
        inner: the transformation.
        decay: the weight of the past; in [0, 1); None for the plain mean; 1 is allowed with debias=False.
        start: how many updates to leave out; whole, at least 0.
        every: average only after every so many updates; whole, at least 1.
        debias: weights as if there had been nothing before the first w that is averaged. Without it the average begins
            at the parameters after `start` updates, at first the initial ones, whose weight then fades.

    State: `AverageState`: count and n_averaged, int32 scalars, 0 at init; average, like params, float32 or wider, a
        copy of the parameters at init; inner.
    Raises: ValueError: an argument out of range; `params` not given.
    Source: Polyak & Juditsky 1992, https://doi.org/10.1137/0330046 (the mean); Izmailov et al. 2018 (arXiv:1803.05407),
        algorithm 1 (`every`). torch's `AveragedModel` and Keras' `use_ema` copy the parameters of the first step and
        average from there: debias=False with start=1. optax's `incremental_update` is debias=False. Within 80 ulp
        of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.average(gradtx.sgd(1.0)), jnp.array(0.0)
        >>> updates, state = tx.update(jnp.array(-1.0), tx.init(w), w)
        >>> updates, state = tx.update(jnp.array(-2.0), state, w + updates)
        >>> print(gradtx.averaged(state))  # of 1 and 3
        2.0
    """
    (below_one if debias else in_unit_interval)(decay=decay)
    non_negative(start=start)
    at_least_one(every=every)

    def weight(n: jax.Array, dtype: Any) -> jax.Array:
        if decay is None:
            return 1 / n.astype(dtype)
        rate = jnp.asarray(1.0 - decay, dtype)
        # The first is taken as it is, to the bit.
        return jnp.where(n == 1, 1, rate / bias_correction(decay, n, dtype)) if debias else rate

    def init(params):
        return AverageState(zero_count(), zero_count(), copied(params), inner.init(params))

    def update(updates, state, params, **extra):
        updates, inner_state = inner.update(updates, state.inner, params, **extra)
        count = increment(state.count)
        past = count - start
        follows = past <= 0
        taken = follows | (past % jnp.maximum(every, 1) == 0)
        n = jnp.where(follows, 0, increment(state.n_averaged, taken))

        c = jnp.where(follows, 1, weight(jnp.maximum(n, 1), float_dtype(state.average)))
        near, whole = c > 0.5, c == 1  # a step from the nearer end: the weights then sum to one
        step = jnp.where(near, c - 1, c)

        def leaf(w, average):
            between = jnp.where(near, w, average) + step * (w - average)
            return w, jnp.where(taken, jnp.where(whole, w, between), average)  # nothing is left of what was not finite

        _, new = map_leaves(leaf, only_trained(apply_updates(params, updates)), state.average)
        return updates, AverageState(count, n, new, inner_state)

    return init, update


def averaged(state: Any, params: Any = None) -> Any:
    """The average that an `average(...)` keeps, wherever it is inside this state: in a chain, under other wrappers.

    Args:
        state: the state; also one of a batch of transformations, under `jax.vmap`.
        params: the parameters. With them the result is ready for the model: in their types, with their own leaves where
            there is no average (integers, keys, None, leaves that another transformation trains). Without them it is as
            it is stored: float32 or wider, None for those.

    Raises:
        ValueError: the state holds no average, or several; it does not fit the parameters. TypeError: no state.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.chain(gradtx.clip_by_value(1.0), gradtx.average(gradtx.sgd(0.1))).init(jnp.ones(2))
        >>> print(gradtx.averaged(state))
        [1. 1.]
    """
    average = the_state("averaged", AverageState, "average", state).average
    return average if params is None else with_params("average", average, params)
