"""Pieces that only Keras' optimizers need."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gradtx.compat.terms import given, product
from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, shape_of
from gradtx.optimizers.adamax import adamax_closures
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.lookup import only_trained
from gradtx.wrappers.partition import by_group
from gradtx.wrappers.rules import split_leaves


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
    return adamax_closures(b1, b2, eps, outside=True)


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
