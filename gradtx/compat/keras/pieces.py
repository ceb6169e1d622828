"""Pieces that only Keras' optimizers need."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.compat.terms import given, product
from gradtx.core.chain import chain
from gradtx.core.errors import below_one, non_negative
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import float_dtype, full, map_leaves, zeros
from gradtx.core.numerics import (
    bias_correction,
    clip_and_square,
    ema,
    increment,
    quotient,
    safe_sqrt,
    scale_down,
)
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import Exact, NonNegative
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, shape_of
from gradtx.optimizers.adam import zero_moments
from gradtx.optimizers.adamax import ScaleByAdamaxState
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.lookup import only_trained
from gradtx.wrappers.partition import by_group
from gradtx.wrappers.rules import split_leaves


class FtrlState(NamedTuple):
    """The state of `scale_by_ftrl_from_zero`."""

    accumulator: NonNegative  # n = Σ|g|²; like params, real, float32 or wider; `initial_accumulator_value` at init
    linear: Exact  # z, the linear term; like params, float32 or wider; 0 at init


class DecayFirstState(NamedTuple):
    """The state of `decay_first`: those of the decay and of the inner transformation."""

    decay: Any
    inner: Any


def stepped(rate: Any, weight_decay: Any, *direction: GradientTransformation) -> GradientTransformation:
    """A direction that does not look at the parameters, decoupled weight decay, and the rate."""
    decay = (add_decayed_weights(weight_decay),) if given(weight_decay) else ()
    return chain(*direction, *decay, scale_by_learning_rate(rate))


def with_momentum(
    rate: Any, weight_decay: Any, momentum: GradientTransformation, *direction: GradientTransformation
) -> GradientTransformation:
    """A momentum of steps, with the rates of their time; the weight decay is outside. The sign comes last, so that the
    momentum points along the gradients whether there is a decay or not.
    """
    decay = (add_decayed_weights(product(rate, weight_decay)),) if given(weight_decay) else ()
    return chain(*direction, scale_by_learning_rate(rate, flip_sign=False), momentum, *decay, scale(-1.0))


def decayed_first(inner: GradientTransformation, rate: Any, weight_decay: Any) -> GradientTransformation:
    """`decay_first`, or the transformation itself where nothing decays."""
    return decay_first(inner, add_decayed_weights(product(rate, weight_decay))) if given(weight_decay) else inner


@transformation(any_leaves=True)
def decay_first(inner: Transformation, decay: Transformation):
    """Make the parameters smaller, then let the inner transformation step from there.

        d = decay(0, at w)
        u = inner(g, at w - d) - d

    Args:
        inner: a transformation that looks at the parameters.
        decay: what is taken from the parameters: `add_decayed_weights`, with the learning rate in its factor.

    State: `DecayFirstState`. Its update needs `params`.
    Source: the order of Keras' optimizers, whose norms are those of the decayed parameters.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from gradtx.compat.keras.pieces import decay_first
        >>> tx, w = decay_first(gradtx.sgd(1.0), gradtx.add_decayed_weights(0.5)), jnp.array(4.0)
        >>> print(w + tx.update(jnp.array(1.0), tx.init(w), w)[0])
        1.0
    """

    def init(params):
        return DecayFirstState(decay.init(params), inner.init(params))

    def update(updates, state, params, **extra):
        trained = only_trained(params)
        less, decay_state = decay.update(zeros(params), state.decay, trained, **decay.extras.taken(extra))
        smaller = map_leaves(lambda w, d: w - d, trained, less)
        updates, inner_state = inner.update(updates, state.inner, smaller, **inner.extras.taken(extra))
        return map_leaves(lambda u, d: u - d, updates, less), DecayFirstState(decay_state, inner_state)

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_adamax_eps_outside(b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-7):
    """`scale_by_adamax` with eps added to the maximum, not to the gradient inside it.

        m = b1·m + (1 - b1)·g
        x = max(b2·x, |g|)
        u = m/((1 - b1^t)·(x + eps))

    Args:
        b1, b2, eps: as in `scale_by_adamax`.

    State: `ScaleByAdamaxState`, with nu the maximum x; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Keras' `Adamax`, after Kingma & Ba 2015 (arXiv:1412.6980), algorithm 2, which has no eps.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat.keras.pieces import scale_by_adamax_eps_outside
        >>> tx = scale_by_adamax_eps_outside(eps=1.0)
        >>> print(tx.update(jnp.array([1.0, -3.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 0.5  -0.75]
    """
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
            nu = jnp.maximum(scale_down(nu, b2), size)
            return quotient(mu / c1, nu + eps), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamaxState(t, mu, nu)

    return init, update


def _cut(z: Any, bound: Any) -> Any:
    """z, or the bound in its direction."""
    if not jnp.iscomplexobj(z):
        return jnp.clip(z, -bound, bound)
    return z * jnp.minimum(1.0, bound / jnp.abs(jnp.where(z == 0, 1.0, z)))


@transformation(any_leaves=True, sign=-1)
def scale_by_ftrl_from_zero(
    learning_rate: Hyper = 1e-3,
    learning_rate_power: Hyper = -0.5,
    initial_accumulator_value: Number = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    l2_shrinkage: Hyper = 0.0,
    beta: Hyper = 0.0,
):
    """FTRL whose linear term begins at 0, as if the parameters did: others jump in the first step, to near 0.

        n' = n + |g|²
        z' = z + g + 2·l2_shrinkage·w - (n'^p - n^p)/η·w            p = -learning_rate_power,   η = learning_rate
        w' = (clip(z', -l1, l1) - z')/(n'^p/η + 2·l2 + beta/η)
        u = w' - w

    With a rate of 0, as at the end of a schedule, nothing changes.

    Args:
        learning_rate: finite, at least 0; parameter units.
        learning_rate_power: finite, at most 0; the paper has -1/2.
        initial_accumulator_value: n before the first step; finite, at least 0.
        l1, l2, beta: as in `gradtx.scale_by_ftrl`.
        l2_shrinkage: l2 on the present parameters only; finite, at least 0.

    State: `FtrlState`: accumulator and linear, like params.
    Raises: ValueError: an argument is out of range.
    Source: McMahan et al. 2013, algorithm 1, as in Keras: z is not changed with a scheduled rate. There
        a rate of 0 makes the parameters NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat.keras.pieces import scale_by_ftrl_from_zero
        >>> w, tx = jnp.array([0.0, 10.0]), scale_by_ftrl_from_zero(0.25, initial_accumulator_value=0.0)
        >>> print(w + tx.update(jnp.array([0.5, 0.5]), tx.init(w), w)[0])
        [-0.25  9.75]
    """
    non_negative(learning_rate=learning_rate, initial_accumulator_value=initial_accumulator_value, l1=l1, l2=l2)
    non_negative(l2_shrinkage=l2_shrinkage, beta=beta, **{"-learning_rate_power": -learning_rate_power})
    half = isinstance(learning_rate_power, float) and learning_rate_power == -0.5

    def power(n):
        if half:
            return safe_sqrt(n)
        return jnp.where(n > 0, jnp.where(n > 0, n, 1.0) ** -learning_rate_power, 0.0)

    def init(params):
        return FtrlState(full(params, initial_accumulator_value, real=True), zeros(params))

    def update(updates, state, params):
        rests = jnp.asarray(learning_rate == 0)
        rate = jnp.where(rests, 1.0, learning_rate)

        def leaf(g, n, z, w):
            g, g_sq = clip_and_square(g, room=0.5)
            new_n = jnp.minimum(n, float(jnp.finfo(n.dtype).max) / 2) + g_sq
            new_z = z + (g + 2.0 * l2_shrinkage * w - (power(new_n) - power(n)) / rate * w)
            divisor = (power(new_n) + beta) / rate + 2.0 * l2
            step = quotient(_cut(new_z, l1) - new_z, divisor) - w
            return jnp.where(rests | (divisor == 0), 0.0, step), jnp.where(rests, n, new_n), jnp.where(rests, z, new_z)

        updates, n, z = map_leaves(leaf, updates, state.accumulator, state.linear, params)
        return updates, FtrlState(n, z)

    return init, update


@transformation
def on_two_axes(
    matrices: Transformation,
    others: Transformation,
    exclude_embeddings: bool = True,
    exclude_layers: tuple[str, ...] = (),
):
    """Give the leaves of two axes one transformation, and all others another one, as Keras' `Muon` does.

    Args:
        matrices: for leaves of two axes.
        others: for all other leaves.
        exclude_embeddings: whether a leaf with "embedding" in its path goes to the others.
        exclude_layers: regular expressions; a leaf with one of them in its path goes to the others.

    State: a dict, `"matrices"` and `"others"` -> the state of each; pieces without state have no entry.
    Source: Keras' `Muon`. `gradtx.on_matrices` also keeps the last layer from Muon.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from gradtx.compat.keras.pieces import on_two_axes
        >>> tx, w = on_two_axes(gradtx.sgd(1.0), gradtx.sgd(0.1)), {"embedding": jnp.eye(1), "kernel": jnp.eye(1)}
        >>> print(tx.update(w, tx.init(w), w)[0])
        {'embedding': Array([[-0.1]], dtype=float32), 'kernel': Array([[-1.]], dtype=float32)}
    """
    exclude = [re.compile(x) for x in exclude_layers]

    def assign(updates: Any, params: Any) -> dict[int, str]:
        shapes = [shape_of(x) for x in flatten(updates if params is None else params)[0]]

        def group(path: str, shape: tuple[int, ...]) -> str:
            embeds = exclude_embeddings and "embedding" in path.lower()
            return "others" if len(shape) != 2 or embeds or any(x.search(path) for x in exclude) else "matrices"

        return {x.place: group(x.path, shapes[x.place]) for x in split_leaves(updates, params)[0]}

    return by_group({"matrices": matrices, "others": others}, assign)
