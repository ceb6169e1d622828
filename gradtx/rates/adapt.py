"""`adapt_learning_rate`: a learning rate that is learnt while training, around any transformation."""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.pair import GradientTransformation, is_transformation, require_changeable
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import require_same_tree
from gradtx.errors import non_negative, one_of, suggestion
from gradtx.rates.estimator import LearntBy, Now, the_loss
from gradtx.rates.leaves import each_leaf, require_fitting
from gradtx.transforms.split import scalars


class AdaptLearningRateState(NamedTuple):
    """The state of `adapt_learning_rate`.

    rate: the learnt rate of the last update, float scalar; 0 at init. With per="leaf" a tree of them.
    estimator: the state of the estimator.
    inner: the inner transformation's state.
    """

    rate: Any
    estimator: Any
    inner: Any


@transformation(whole_tree=True, words={"out": "times the learnt rate"})
def adapt_learning_rate(
    inner: Transformation,
    estimator: LearntBy,
    *,
    learning_rate: Hyper = 1.0,
    per: str = "tree",
    gradient_units: tuple[str, ...] = ("eps", "eps_root"),
):
    """Multiply the updates of a transformation by a rate that is learnt from the gradients and the parameters.

        u = learning_rate·rate·inner(feed·g)         rate, feed: what the estimator says; feed is 1 for most

    The inner transformation has a learning rate of 1. With `rates.constant(1.0)` the updates are the inner ones, to the
    bit. The rate is finite also where the gradient is zero. `state.rate` is the rate in use. Where the norm of the
    gradients is above 8e37 (float32), a rate that is divided by it becomes 0.

    Args:
        inner: the transformation, for example `sgd(1.0)`.
        estimator: how the rate is learnt, one of `gradtx.rates`: `rates.distance()`.
        learning_rate: a factor of the learnt rate, for a schedule; finite, at least 0.
        per: "tree" for one rate; "leaf" for one rate for each leaf, learnt from this leaf alone.
        gradient_units: the hyperparameters inside `inner` that are in units of the gradient, or of its square. They are
            multiplied by the feed, or by its square: `eps_root`, and an `eps` inside a root. An `eps` in another unit
            stays as it is. So do the numbers of a moment, and those of transformations that are not of gradtx, whose
            arguments are not known: give them an eps which is small for gradients times the feed.

    State: `AdaptLearningRateState`. Its update needs `params`, and `value` if the estimator needs it.
    Raises:
        ValueError: an argument is out of range; nothing inside has a hyperparameter that is named; `params` is not
            given; an estimator that can only learn one rate is to learn one per leaf; one that needs steps of descent
            gets directions uphill.
        TypeError: `estimator` is not one; gradient_units is no tuple of names; `value` is needed and not given.
    Source: each estimator says who found it. optax has a transformation of its own for each of them; its
        `contrib.mechanize(tx)` is `adapt_learning_rate(tx, rates.mechanic())`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adapt_learning_rate(gradtx.sgd(1.0), gradtx.rates.distance(1e-3)), jnp.zeros(2)
        >>> for _ in range(100):  # of |w - (3, 4)|: no rate is given
        ...     u, state = tx.update((w - jnp.array([3.0, 4.0])), tx.init(w) if _ == 0 else state, w)
        ...     w = gradtx.apply_updates(w, u)
        >>> print(w.round(2))
        [3. 4.]
    """
    require_changeable("adapt_learning_rate", inner)
    non_negative(learning_rate=learning_rate)
    one_of(("tree", "leaf"), per=per)
    _require_units(gradient_units, inner)
    if per == "leaf" and estimator.one_rate:
        raise ValueError(f"{estimator!r} learns one rate for all leaves together: give per='tree'")
    if estimator.descends and inner.traits.sign == 1:
        raise ValueError(f"{estimator!r} needs steps of descent, and {inner!r} points uphill: put scale(-1.0) after it")
    one = estimator.estimate()
    learnt = each_leaf(one) if per == "leaf" else one

    def init(params):
        rate = scalars(params, 0.0) if per == "leaf" else jnp.zeros((), float_dtype(params))
        with jax.numpy_dtype_promotion("standard"):  # scalars of the width of the parameters meet numbers of another
            return AdaptLearningRateState(rate, learnt.init(params), inner.init(params))

    def updated(updates: Any, state: Any, params: Any, value: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        require_fitting(updates, state.estimator)
        with jax.numpy_dtype_promotion("standard"):
            advice, learning = learnt.before(updates, state.estimator, params, Now(learning_rate, value))
        rate, feed, tx = advice.rate, advice.feed, inner
        if feed is not None:
            updates, tx = map_leaves(lambda g: feed * g, updates), _times(inner, gradient_units, feed)
        fed = updates
        updates, inner_state = tx.update(fed, state.inner, params, **extra)
        require_same_tree("update", updates, "gradient", fed)
        if not (isinstance(learning_rate, float) and learning_rate == 1.0):
            updates = map_leaves(lambda u: learning_rate * u, updates)
        with jax.numpy_dtype_promotion("standard"):
            updates, learning = learnt.after(updates, learning, rate)
        if per == "tree":
            rate = jnp.array(1.0 if rate is None else rate)
        rate, learning = jax.tree.map(_like, (rate, learning), (state.rate, state.estimator))
        return updates, AdaptLearningRateState(rate, learning, inner_state)

    def update(updates, state, params, **extra):
        return updated(updates, state, params, None, extra)

    def update_with_value(updates, state, params, *, value, **extra):
        loss = the_loss(repr(estimator), value, float_dtype(params))
        return updated(updates, state, params, loss, {"value": value, **extra})

    return init, update_with_value if estimator.needs_value else update


_USUAL = {"eps": 1, "eps_root": 2}


def _require_units(names: Any, inner: GradientTransformation) -> None:
    """Raise TypeError unless these are names, ValueError unless those that are not usual are found inside."""
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"gradient_units must be a tuple of names, such as ('eps',); got {names!r}")
    known = _hyperparameters(inner)
    for name in names:
        if name not in _USUAL and name not in known:
            raise ValueError(
                f"gradient_units names {name!r}{suggestion(name, known)}, and nothing inside {inner!r} has a "
                f"hyperparameter of this name"
            )


def _hyperparameters(tx: GradientTransformation) -> set[str]:
    """The names of the hyperparameters inside, at any depth."""
    piece = tx.piece
    inside = filter(is_transformation, piece.children.values())
    return {*piece.children, *(name for child in inside for name in _hyperparameters(child))}


def _powers(tx: GradientTransformation) -> dict[str, set[int]]:
    """For hyperparameters inside, the powers of the gradient in whose units they are, by name."""
    piece, found = tx.piece, {}
    declared = piece.own_traits.gradient_powers
    for name, power in {**_USUAL, **(declared(piece.arguments) if declared else {})}.items():
        if name in piece.children:
            found.setdefault(name, set()).add(power)
    for child in filter(is_transformation, piece.children.values()):
        for name, powers in _powers(child).items():
            found.setdefault(name, set()).update(powers)
    return found


def _like(new: Any, old: Any) -> jax.Array:
    """A new array of a state in the type that the state has for it."""
    new = jnp.asarray(new)
    return new if new.dtype == old.dtype and not new.weak_type else new.astype(old.dtype)


def _times(tx: GradientTransformation, names: tuple[str, ...], factor: Any) -> GradientTransformation:
    """The transformation with its hyperparameters of these names, at any depth, multiplied by powers of a factor."""
    powers = {**{name: {_USUAL.get(name, 1)} for name in names}, **_powers(tx)}

    def changed(name: str, child: Any) -> Any:
        if is_transformation(child):
            return _times(child, names, factor)
        if name not in names:
            return child
        if len(powers[name]) > 1:
            raise ValueError(
                f"adapt_learning_rate: {name} has several units inside {tx!r}: leave it out of gradient_units, or give "
                f"the parts of {tx.name} themselves"
            )
        return functools.reduce(operator.mul, [factor] * min(powers[name]), child)

    return tx.with_children({name: changed(name, child) for name, child in tx.children.items()})
