"""Averages of the parameters over the steps of a training."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import apply_updates, float_dtype, map_leaves
from gradtx.core.numerics import bias_correction, increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import at_least_one, below_one, in_unit_interval, non_negative
from gradtx.wrappers.lookup import copied, only_trained, the_state, with_params


class AverageState(NamedTuple):
    """The state of `average`.

    count: updates done, int32 scalar; 0 at init.
    n_averaged: the number of parameters in the average, int32 scalar; 0 at init.
    average: the average, like params, float32 or wider; a copy of the parameters at init.
    inner: the inner transformation's state.
    """

    count: jax.Array
    n_averaged: jax.Array
    average: Exact
    inner: Any


@transformation(any_leaves=True)
def average(
    inner: Transformation,
    decay: Hyper | None = None,
    *,
    start: Count = 0,
    every: Count = 1,
    debias: bool = True,
):
    """Keep an average of the parameters after each update; the updates do not change.

        a = a + c·(w - a)      for the n-th w that is averaged
        c = 1/n                without decay: the plain mean
        c = (1 - decay)/(1 - decay^n)      with decay;   c = 1 - decay with debias=False

    The state holds a; `averaged(state)` reads it. w is the parameter as it is stored, rounded to its type. During the
    first `start` updates a is w itself; then it stays until the first w is averaged.

    The parameters are those that `apply_updates` makes from the updates that leave here. So put this at the end of a
    chain, and outside wrappers that change the updates. Every update counts, also one that moves nothing. So put it
    inside `accumulate` and the wrappers that skip, `accumulate(average(tx), 4)`; outside, the same w would be averaged
    four times, and a decay would act four times as fast. A step of a below its rounding error is lost (in float32,
    where w and a differ by less than 6e-8·a/c): `every` makes long averages more exact.

    Args:
        inner: the transformation.
        decay: the weight of the past, in [0, 1); None for the plain mean. With debias=False, 1 is allowed.
        start: the number of updates to leave out; a whole number, at least 0.
        every: average once in this many updates; a whole number, at least 1.
        debias: weights as if there were nothing before the first averaged w. With False the average begins at the
            parameters after `start` updates (the initial ones for start=0), and their weight fades.

    State: `AverageState`.
    Raises: ValueError: an argument is out of range, or `params` is not given.
    Source: Polyak & Juditsky 1992, https://doi.org/10.1137/0330046 (the mean); Izmailov et al. 2018 (arXiv:1803.05407),
        algorithm 1 (`every`). torch's `AveragedModel` and Keras' `use_ema` copy the parameters after the first step and
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
        # The first w becomes the average, to the bit.
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
        near, whole = c > 0.5, c == 1  # a step from the nearer end, so that the weights sum to one
        step = jnp.where(near, c - 1, c)

        def leaf(w, average):
            between = jnp.where(near, w, average) + step * (w - average)
            return w, jnp.where(taken, jnp.where(whole, w, between), average)  # selects: no trace of a NaN

        _, new = map_leaves(leaf, only_trained(apply_updates(params, updates)), state.average)
        return updates, AverageState(count, n, new, inner_state)

    return init, update


def averaged(state: Any, params: Any = None) -> Any:
    """The average that `average(...)` keeps, wherever it is in a state: in a chain, in other wrappers.

    Args:
        state: the state; also one of a batch of transformations, under `jax.vmap`.
        params: the parameters. With them the result is ready for the model: in their types, and with their own leaves
            where there is no average (integers, keys, None, leaves of another transformation). Without them it is the
            stored tree: float32 or wider, None for those leaves.

    Raises:
        ValueError: the state holds no average or several, or it does not fit the parameters. TypeError: `state` is a
            transformation.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.chain(gradtx.clip_by_value(1.0), gradtx.average(gradtx.sgd(0.1))).init(jnp.ones(2))
        >>> print(gradtx.averaged(state))
        [1. 1.]
    """
    average = the_state("averaged", AverageState, "average", state).average
    return average if params is None else with_params("average", average, params)
