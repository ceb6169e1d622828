"""A transformation for some of the leaves: `masked` lets the others pass, `freeze` keeps them fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gradtx.core.traits import Closures, Group, agreed
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten, is_trained, leaf_names
from gradtx.errors import INSTEAD, describe
from gradtx.wrappers.conditional import at_rest
from gradtx.wrappers.rules import arity, first_rules, is_function, is_rule, split_leaves
from gradtx.wrappers.subtree import extras_for, merged, part, prefix_leaves, resolved

INSTEAD["mask"] = "freeze keeps leaves of a whole optimizer fixed, masked(tx, mask) is for a member of a chain"


@transformation(sparse_rows=True, sign=lambda given, signs: agreed([*signs, 1]))  # other leaves pass
def masked(inner: Transformation, mask: Any):
    """Apply a transformation to some of the leaves; the updates of all others pass unchanged.

    The mask is resolved on the parameters, by path, so the type of a gradient makes no difference. The transformation
    inside does not see the other leaves: it has no state for them, and they do not count in norms. Use this for a
    member of a chain. For a whole optimizer use `freeze`: here the gradients of the other leaves would come out as
    their updates.

    Args:
        inner: the transformation.
        mask: the leaves. A rule: a glob for the path of a leaf or of a node above it (`"layers/*/bias"`; `**` stands
            for any number of names), a compiled regular expression, or a function of `(path, leaf)`. A tuple of rules:
            any of them may match. A tree of bools like the parameters, or a prefix of one. A function of the parameters
            that returns such a tree.

    State: that of `inner`, with `None` for the leaves it does not see.
    Raises:
        ValueError: a rule matches no leaf (the error has the nearest paths), or matches both the key `a/b` and `b`
            inside `a`; a tree does not fit the parameters; a function needs `params`, which is not given.
        TypeError: a mask, or the result of a function, is not made of bools.
    Source: optax's `masked`, which has no rules, accepts masks that match nothing, and calls a function with the
        gradients instead of the parameters.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.masked(gradtx.add_decayed_weights(0.1), "**/w")
        >>> params = {"layer": {"w": jnp.ones(2), "b": jnp.ones(2)}}
        >>> updates, _ = tx.update(params, tx.init(params), params)
        >>> print(updates["layer"]["w"], updates["layer"]["b"])
        [1.1 1.1] [1. 1.]
    """
    own, passes = Group(inner.name, inner), Group("", None)
    return _on_some(inner, selection("masked", mask), lambda updates: updates, own, passes)


@transformation(sparse_rows=True, words={"rest": "held still"})
def freeze(inner: Transformation, frozen: Any):
    """Keep some of the leaves fixed, and apply a transformation to the rest.

    A frozen leaf does not change, to the bit. It has no state, and does not count in norms. (Adding any update turns
    subnormal numbers into 0: XLA flushes them on CPU.)

    To train a leaf later that was frozen for a while, give it its own transformation, with `route`. All leaves of one
    transformation share a count. That count has gone on, so the bias correction of Adam would make the first steps of
    the new leaf too long.

    Args:
        inner: the transformation for the other leaves: a whole optimizer, with its clipping.
        frozen: the leaves to keep fixed, as the mask of `masked`.

    State: that of `inner`, with `None` for frozen leaves.
    Raises: as `masked`.
    Source: optax's `freeze` only sets updates to zero: transformations in front of it still have state for frozen
        leaves, and count them in norms. Its `selective_transform` does the same as this.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.freeze(gradtx.adam(0.1), "body")
        >>> params = {"body": {"w": jnp.ones(2)}, "head": jnp.ones(2)}
        >>> updates, state = tx.update(params, tx.init(params), params)
        >>> print(updates["body"]["w"], updates["head"], state["scale_by_adam"].mu["body"])
        [-0. -0.] [-0.1 -0.1] {'w': None}
    """
    chosen = selection("freeze", frozen)
    own, held = Group("", inner), Group("frozen", None)
    return _on_some(inner, lambda u, p: [not frozen for frozen in chosen(u, p)], at_rest, own, held)


Selection = Callable[[Any, Any], list[bool]]


def selection(who: str, mask: Any) -> Selection:
    """`(updates, params) -> chosen`: a bool for each leaf, None among them, for every kind of mask.

    Raises: TypeError: this is not a kind of mask.
    """
    rules: Any = mask if isinstance(mask, tuple | list) and all(map(is_rule, mask)) else (mask,)
    if all(map(is_rule, rules)):

        def by_rules(updates: Any, params: Any) -> list[bool]:
            taken = first_rules(who, rules, *split_leaves(updates, params))
            return [place in taken for place in range(len(flatten(updates)[0]))]

        return by_rules
    if is_function(mask) and arity(mask) != 1:
        raise TypeError(f"{who}: a function must take the parameters, or (path, leaf); {describe(mask)} does not")

    def by_tree(updates: Any, params: Any) -> list[bool]:
        tree = resolved(who, mask, params)
        rows = zip(prefix_leaves(who, "mask", tree, updates), leaf_names(updates), flatten(updates)[0], strict=True)
        return [_bool(who, x, path) if is_trained(leaf) else False for x, path, leaf in rows]

    return by_tree


def _bool(who: str, x: Any, path: str) -> bool:
    if isinstance(x, Tracer):
        raise TypeError(f"{who}: the mask at {path} is traced; a mask must be known at trace time: make it outside jit")
    if isinstance(x, bool | np.bool_) or (
        isinstance(x, jax.Array | np.ndarray) and x.dtype == np.bool_ and x.shape == ()
    ):
        return bool(x)
    raise TypeError(f"{who}: the mask at {path} must be True or False; got {describe(x)}")


def _on_some(
    inner: Any, selected: Selection, others: Callable[[Any], Any], own_group: Group, other_group: Group
) -> Closures:
    """The closures that apply `inner` to the selected leaves, and `others` to the updates of the rest."""

    def init(params):
        return inner.init(part(params, selected(params, params)))

    def update(updates, state, params=None, **extra):
        own = selected(updates, params)
        theirs = extras_for(own, params, extra)
        new, state = inner.update(part(updates, own), state, part(params, own), **theirs)
        return merged([own], [new, others(part(updates, [not mine for mine in own]))]), state

    def leaf_groups(params):
        rows = enumerate(zip(selected(params, params), flatten(params)[0], strict=True))
        return {k: own_group if mine else other_group for k, (mine, p) in rows if is_trained(p)}

    return Closures(init, update, leaf_groups=leaf_groups)
