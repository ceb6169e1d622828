"""Wrappers for some of the leaves, under optax's names, arguments, order and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import gradtx
from gradtx.compat.optax.layout import MaskedState, PartitionState, with_state_in
from gradtx.compat.optax.protocol import optaxed
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, transformation
from gradtx.values.factory import key_name
from gradtx.wrappers.rules import arity, is_function

__all__ = ["freeze", "masked", "multi_transform", "partition", "selective_transform"]


@transformation(sparse_rows=True)
def masked_by(inner: Transformation, mask: Callable[[Any], Any]):
    """`masked` with a function, which gets the updates where the parameters are not given."""
    return resolved_on(lambda tree: gradtx.masked(inner, mask(tree)))


@transformation(sparse_rows=True)
def partition_by(transforms: dict[Any, Transformation], labels: Any):
    """`partition` without the labels that no leaf has; a function gets the updates where params are not given."""

    def made(tree: Any) -> GradientTransformation:
        found = labels(tree) if is_function(labels) else labels
        used = {key_name(label) for label in jax.tree.leaves(found)}
        return gradtx.partition({label: tx for label, tx in transforms.items() if key_name(label) in used}, found)

    return resolved_on(made)


def resolved_on(make: Callable[[Any], GradientTransformation]) -> tuple[Callable, Callable]:
    """The closures of what `make` gives for the parameters, or for the updates where these are not given."""

    def init(params):
        return make(params).init(params)

    def update(updates, state, params=None, **extra):
        tx = make(updates if params is None else params)
        return tx.update(updates, state, params, **tx.extras.taken(extra))

    return init, update


@optaxed
def masked(inner: Any, mask: Any, *, mask_compatible_extra_args: bool = False) -> GradientTransformation:
    """`gradtx.masked`; extra arguments that are trees like the parameters are always split."""
    make = masked_by if is_function(mask) and arity(mask) == 1 else gradtx.masked
    return with_state_in(make(inner, mask), MaskedState)


@optaxed
def partition(
    transforms: Any, param_labels: Any, *, mask_compatible_extra_args: bool = False
) -> GradientTransformation:
    """`gradtx.partition`; extra arguments that are trees like the parameters are always split."""
    return with_state_in(partition_by(transforms, param_labels), PartitionState)


multi_transform = partition


@optaxed
def freeze(mask: Any) -> GradientTransformation:
    """A member of a chain that holds the leaves of the mask still: `gradtx.freeze(identity(), mask)`."""
    return with_state_in(gradtx.freeze(gradtx.identity(), mask), MaskedState)


@optaxed
def selective_transform(optimizer: Any, *, freeze_mask: Any) -> GradientTransformation:
    """`gradtx.freeze`."""
    return gradtx.freeze(optimizer, freeze_mask)
