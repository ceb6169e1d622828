"""Chains and wrappers under optax's names, arguments, order and defaults: when, and in which layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import gradtx
from gradtx.compat.optax.protocol import optaxed, with_protocol
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, zero_count
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, foreign, transformation
from gradtx.wrappers.conditional import Decision, all_finite, conditional

__all__ = [
    "ApplyIfFiniteState",
    "ConditionFn",
    "ConditionallyMaskState",
    "ConditionallyTransformState",
    "apply_every",
    "apply_if_finite",
    "chain",
    "conditionally_mask",
    "conditionally_transform",
    "flatten",
    "named_chain",
]


@optaxed
def chain(*args: Any) -> GradientTransformation:
    """`gradtx.chain`."""
    return gradtx.chain(*args)


@optaxed
def named_chain(*args: Any) -> GradientTransformation:
    """`gradtx.chain` of pairs (name, transformation)."""
    names = [name for name, _ in args]
    if len(set(names)) != len(names):
        raise ValueError(f"Named transformations must have unique names, but got {names}")
    return gradtx.chain(**dict(args))


ConditionFn: TypeAlias = Callable[..., Any]


class ConditionallyTransformState(NamedTuple):
    """The state of `conditionally_transform`."""

    inner: Any
    step: jax.Array

    @property
    def inner_state(self) -> Any:
        """optax's name."""
        return self.inner


class ConditionallyMaskState(NamedTuple):
    """The state of `conditionally_mask`."""

    step: jax.Array
    inner: Any

    @property
    def inner_state(self) -> Any:
        """optax's name."""
        return self.inner


def _in_some_steps(inner: Any, condition: Callable, forward: bool, state_type: Any, otherwise: Any) -> Any:
    def init(params):
        return state_type(inner=inner.init(params), step=zero_count())

    def decide(updates, state, params=None, **extra):
        runs = jnp.asarray(condition(state.step, **(extra if forward else {})))
        return Decision(runs, lambda: updates, lambda ran, after: state_type(inner=after, step=increment(state.step)))

    return conditional(inner, init, decide, otherwise)


@transformation
def _conditionally_transform(inner: Transformation, should_transform_fn: Callable, forward_extra_args: bool):
    return _in_some_steps(
        inner,
        should_transform_fn,
        forward_extra_args,
        ConditionallyTransformState,
        lambda updates: map_leaves(lambda g: g, updates),
    )


@transformation
def _conditionally_mask(inner: Transformation, should_transform_fn: Callable, forward_extra_args: bool):
    return _in_some_steps(inner, should_transform_fn, forward_extra_args, ConditionallyMaskState, None)


def conditionally_transform(
    inner: Any, should_transform_fn: Callable, forward_extra_args: bool = False
) -> GradientTransformation:
    """Run a transformation in the steps in which a function of the step says so; else the updates pass."""
    return _with_any_extra(_conditionally_transform(inner, should_transform_fn, forward_extra_args), forward_extra_args)


def conditionally_mask(
    inner: Any, should_transform_fn: Callable, forward_extra_args: bool = False
) -> GradientTransformation:
    """Run a transformation in the steps in which a function of the step says so; else nothing moves."""
    return _with_any_extra(_conditionally_mask(inner, should_transform_fn, forward_extra_args), forward_extra_args)


def _with_any_extra(tx: GradientTransformation, forward: bool) -> GradientTransformation:
    """With optax's protocol; if a function gets the extra arguments, the pair of closures, which takes them all."""
    if not forward:
        return with_protocol(tx)
    return with_protocol(foreign(tx.init, tx._plan.closures.update))


class ApplyIfFiniteState(NamedTuple):
    """The state of `apply_if_finite`."""

    notfinite_count: jax.Array
    last_finite: jax.Array
    total_notfinite: jax.Array
    inner: Any

    @property
    def inner_state(self) -> Any:
        """optax's name."""
        return self.inner


@optaxed
@transformation(any_leaves=True)
def apply_if_finite(inner: Transformation, max_consecutive_errors: int):
    """Skip the step where a gradient is not finite, unless so many were in a row: `gradtx.skip_nonfinite` counts else.

    Args:
        inner: the transformation.
        max_consecutive_errors: steps in a row that are skipped.
    """

    def init(params):
        return ApplyIfFiniteState(zero_count(), jnp.asarray(True), zero_count(), inner.init(params))

    def decide(updates, state, params=None, **extra):
        finite = all_finite(updates)
        row = jnp.where(finite, 0, increment(state.notfinite_count))
        total = increment(state.total_notfinite, ~finite)
        runs = finite | (row > max_consecutive_errors)
        return Decision(runs, lambda: updates, lambda ran, after: ApplyIfFiniteState(row, finite, total, after))

    return conditional(inner, init, decide)


@optaxed
def apply_every(k: Any = 1) -> GradientTransformation:
    """The sum of k updates in every k-th step, and nothing in the others: `gradtx.accumulate`."""
    return gradtx.accumulate(gradtx.identity(), k, reduction="sum")


@optaxed
@transformation
def flatten(inner: Transformation):
    """Give a transformation all leaves as one vector; optax's layout. `gradtx.pack` joins the small leaves alone.

    Args:
        inner: the transformation. Norms of leaves in it are norms of the whole tree.
    """

    def vector(tree):
        return ravel_pytree(tree)

    def init(params):
        return inner.init(vector(params)[0])

    def update(updates, state, params=None, **extra):
        flat, shaped = vector(updates)
        flat, state = inner.update(flat, state, None if params is None else vector(params)[0], **extra)
        with jax.numpy_dtype_promotion("standard"):
            return shaped(flat.astype(vector(updates)[0].dtype)), state

    return init, update
