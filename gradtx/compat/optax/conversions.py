"""Numbers of a state in another form: into gradtx's form from optax's, and out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.trees import is_none


class Context(NamedTuple):
    """What a conversion may read besides its value.

    like: the present value of the field on the other side. fields: all fields of the state by name; the first one where
    several have the same name. setting: the value of an argument of the transformation, by name.
    """

    like: Any
    fields: Mapping[str, Any]
    setting: Callable[[str], Any]


class Conversion(NamedTuple):
    """A field in two forms: into gradtx's from optax's, and out again."""

    into: Callable[[Any, Context], Any]
    out: Callable[[Any, Context], Any]


def each(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Context], Any]:
    """A conversion of each leaf, given the leaf on the other side."""

    def converted(value: Any, context: Context) -> Any:
        return jax.tree.map(fn, context.like, value, is_leaf=is_none)

    return converted


def _same_length(like: Any, x: Any) -> Any:
    """x in the shape of `like`, from which it differs only by axes of length 1."""
    if x is None or like is None or [n for n in x.shape if n > 1] != [n for n in like.shape if n > 1]:
        return x
    return x.reshape(like.shape)


def _parts(context: Context) -> Any:
    """By how much optax has divided the gradients that are collected."""
    return 1 if context.setting("reduction") == "sum" else context.fields["mini_step"]


def summed(mean: Any, context: Context) -> Any:
    """The sum of the gradients that are collected, from optax's mean or sum."""
    return jax.tree.map(lambda x: (x * _parts(context)).astype(x.dtype), mean)


def averaged(total: Any, context: Context) -> Any:
    """optax's mean or sum of the gradients that are collected, from the sum."""
    begins = context.fields["mini_step"] == 0  # here the last sum is still there
    return jax.tree.map(lambda x: jnp.where(begins, 0, x / jnp.maximum(_parts(context), 1)).astype(x.dtype), total)


def next_slot(count: Any, context: Context) -> Any:
    """The slot of the memory where the next pair goes."""
    return ((count - 1) % max(len(context.fields["weights_memory"]), 1)).astype(count.dtype)


def _scaled(memory: Any, context: Context) -> Any:
    """Pairs scaled so that s'y = 1; zeros for a pair of negative curvature."""
    root = jnp.sqrt(jnp.maximum(context.fields["weights_memory"], 0.0))
    return jax.tree.map(lambda x: (x * root.reshape(-1, *[1] * (x.ndim - 1))).astype(x.dtype), memory)


def _curvatures(weights: Any, context: Context) -> Any:
    """s'y/y'y of each pair, from 1/s'y."""
    leaves = jax.tree.leaves(context.fields["diff_updates_memory"])
    squares = sum(jnp.sum(jnp.abs(y) ** 2, axis=tuple(range(1, y.ndim))) for y in leaves)
    return jnp.where(weights > 0, 1 / jnp.where(weights > 0, weights * squares, 1), 0)


def _rolled(memory: Any, context: Context) -> Any:
    """The pairs where optax has them: it moves on in every step, and gradtx only where it stores a pair."""
    ahead = context.fields["count"] - 1 - context.fields["slot"]
    return jax.tree.map(lambda x: jnp.roll(x, ahead % max(len(x), 1), 0), memory)


def either(other: str) -> Callable[[Any, Context], Any]:
    """Of this tree of means and another one, leaf by leaf, what has the right lengths; None for what is not kept.

    For a leaf that is not factored optax keeps a zero of shape (1,). What it calls a row is along the longer axis.
    """

    def leaf(like: Any, x: Any, y: Any) -> Any:
        if like is None or x is None:
            return like
        return next((z for z in (_same_length(like, x), _same_length(like, y)) if z.shape == like.shape), x)

    return lambda value, context: jax.tree.map(leaf, context.like, value, context.fields[other], is_leaf=is_none)


def by_axis(value: Any, context: Context) -> Any:
    """What optax has for each leaf as a list of vectors, one an axis, as a tree for each axis."""

    def along(axis: int) -> Callable[[Any, Any], Any]:
        return lambda like, xs: None if like is None else xs[axis].reshape(like.shape) if xs else like

    trees = (jax.tree.map(along(k), tree, value, is_leaf=is_none) for k, tree in enumerate(context.like))
    return tuple(trees)


def by_leaf(value: Any, context: Context) -> Any:
    """The inverse of `by_axis`."""
    structure = jax.tree.structure(value[0], is_leaf=is_none)
    leaves = [jax.tree.leaves(tree, is_leaf=is_none) for tree in value]
    filled = [
        None if xs is None else [trees[j].reshape(x.shape) for trees, x in zip(leaves, xs, strict=False)]
        for j, xs in enumerate(structure.flatten_up_to(context.like))
    ]
    return jax.tree.unflatten(structure, filled)


def variance(nu: Any, context: Context) -> Any:
    """The variance, from the mean of squares and the mean."""
    return jax.tree.map(lambda n, m: jnp.maximum(n - jnp.abs(m) ** 2, 0.0), nu, context.fields["mu"])


def mean_square(nu: Any, context: Context) -> Any:
    """The inverse of `variance`."""
    return jax.tree.map(lambda n, m: n + jnp.abs(m) ** 2, nu, context.fields["mu"])


AS_IS = Conversion(lambda x, _: x, lambda x, _: x)
SQUEEZED = Conversion(each(_same_length), each(_same_length))
ROOTS = Conversion(
    each(lambda like, x: None if x is None else jnp.sqrt(_same_length(like, x))),
    each(lambda like, x: None if x is None else jnp.square(_same_length(like, x))),
)
PAIRS = Conversion(_scaled, _rolled)
WEIGHTS = Conversion(_curvatures, lambda x, context: jnp.where(_rolled(x, context) > 0, 1, 0).astype(x.dtype))
FINITE = Conversion(lambda x, context: jnp.where(jnp.isinf(x), context.like, x), lambda x, _: x)

ANY = Conversion(
    lambda found, context: jnp.asarray(any(map(jnp.any, jax.tree.leaves(found))), context.like.dtype),
    lambda _, context: context.like,
)
