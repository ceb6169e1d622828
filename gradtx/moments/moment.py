"""What a second moment is, how its state begins, and how a step learns it and divides by it."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.leaves import full, map_leaves
from gradtx.core.numerics import clip_and_square
from gradtx.core.traits import Narrowing, Traits
from gradtx.core.trees import OwnShapes, flatten, is_none, is_trained, leaf_names, shape_of
from gradtx.errors import describe

Kept = tuple[Any, ...]
"""What is kept of one leaf: arrays, or None in the place of one that this leaf does not have."""

Step = Callable[[jax.Array, jax.Array], jax.Array]
"""`(old, new) -> next`: how a mean of squares goes on; a running mean, or a sum."""


class Moment(Narrowing):
    """Of which entries a second moment is the mean. Write a frozen dataclass: it must compare, hash and pickle.

    The arrays that are kept have as many axes as their leaf, of length 1 where they hold a mean along the axis.

    least: the number of arrays that are kept of a leaf, at least. entrywise: whether one is kept, in the shape of the
    leaf, and each entry only depends on its own squares.
    """

    least: ClassVar[int] = 1
    entrywise: ClassVar[bool] = False

    @abstractmethod
    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, ...]:
        """The shapes of what is kept of a leaf of this shape.

        Raises: ValueError: it cannot take such a leaf; the error says what it needs.
        """

    @abstractmethod
    def learn(self, kept: Kept, g_sq: jax.Array, step: Step) -> tuple[Kept, jax.Array]:
        """What is kept after a step, and the second moment of each entry, in a shape that broadcasts over the leaf."""

    def room(self, shape: tuple[int, ...]) -> float:
        """The factor of the largest entry whose square counts: less than 1 for sums of squares."""
        return 1.0

    def together(self, trees: tuple) -> Any:
        """The field of a state that holds these trees, one for each array that is kept."""
        return trees[0]

    def apart(self, field: Any) -> tuple:
        """The trees in a field of a state."""
        return (field,)

    def narrowed(self, traits: Traits) -> Traits:
        """Without what only holds entry by entry."""
        return (
            traits if self.entrywise else dataclasses.replace(traits, any_leaves=False, sparse_rows=False, divides=None)
        )


def require_moment(moment: Any) -> None:
    """Raise TypeError unless this is a moment; a function that makes one is not."""
    if not isinstance(moment, Moment):
        called = f": call it, moments.{moment.__name__}()" if callable(moment) and hasattr(moment, "__name__") else ""
        raise TypeError(
            f"moment must be one of gradtx.moments, such as moments.per_leaf(); got {describe(moment)}{called}"
        )


def started(moment: Moment, params: Any, value: Any = 0.0) -> Any:
    """The field of a state at init: `value` everywhere, in float32 or wider; None for untrained leaves.

    Raises: ValueError: the moment cannot take a leaf; the error names it.
    """
    leaves, structure = jax.tree.flatten(params, is_leaf=is_none)
    shapes = _shapes(moment, "parameter", params)
    count = max(moment.least, *(len(kept) for kept in shapes if kept is not None), 0)
    rows = []
    for p, kept in zip(leaves, shapes, strict=True):
        made = [None if shape is None else _filled(p, shape, value) for shape in kept or ()]
        rows.append([*made, *[None] * (count - len(made))])
    return moment.together(tuple(jax.tree.unflatten(structure, [row[k] for row in rows]) for k in range(count)))


def _filled(p: Any, shape: tuple[int, ...], value: Any) -> jax.Array:
    whole, own = full(p, value, real=True), shape_of(p)
    if shape == own:
        return whole
    if not (isinstance(p, Tracer) or getattr(p, "committed", False)):
        return jnp.full(shape, jnp.asarray(value), whole.dtype)
    # A maximum of what lies on the devices of the parameter lies where later means will lie.
    axes = tuple(k for k, (n, m) in enumerate(zip(shape, own, strict=True)) if n != m)
    return jnp.broadcast_to(jnp.max(whole, axes, keepdims=True, initial=0.0), shape)


def _shapes(moment: Moment, what: str, tree: Any) -> list[Any]:
    """For each leaf the shapes of what is kept of it; None for leaves that are not trained."""
    found: list[Any] = []
    leaves = flatten(tree)[0]
    for k, leaf in enumerate(leaves):
        try:
            found.append(moment.shapes(shape_of(leaf)) if is_trained(leaf) else None)
        except ValueError as error:
            other = ", or with route(...) another transformation for this leaf" if len(leaves) > 1 else ""
            raise ValueError(
                f"{moment!r} cannot take the {what} at {leaf_names(tree)[k]} of shape {shape_of(leaf)}: {error}; take "
                f"a moment that can, such as moments.full(){other}"
            ) from None
    return found


def divided(
    moment: Moment, fn: Callable[..., jax.Array], updates: Any, field: Any, *others: Any, step: Step, idle: Any = None
) -> tuple[Any, Any]:
    """The updates `fn(g, v, *others)`, v the second moment after this step, and the field after it.

    Args:
        moment: which entries v is the mean of.
        fn: a leaf function, as for `map_leaves`; an entry g whose square would overflow is clipped.
        updates: the gradients.
        field: the field of the state, as `started` made it.
        *others: further trees for `fn`.
        step: how v goes on: `(old, new) -> next`.
        idle: the factor by which a step without gradient multiplies v, as for `map_leaves`.
    """
    trees = moment.apart(field)
    own, count = _with_shapes(moment, updates, trees), len(trees)

    def leaf(g, *nu):
        g, g_sq = clip_and_square(g, moment.room(g.shape))
        kept, v = moment.learn(nu[:count], g_sq, step)
        return fn(g, v, *nu[count:]), *kept

    out = map_leaves(leaf, updates, *own, *others, idle=(*[idle] * count, *[None] * len(others)))
    return out[0], moment.together(out[1:])


def _with_shapes(moment: Moment, updates: Any, trees: tuple) -> list:
    """The trees with their shapes for these updates; ValueError if one has others."""
    if moment.entrywise:
        return list(trees)
    columns = [flatten(tree)[0] for tree in trees]
    if any(len(column) != len(flatten(updates)[0]) for column in columns):
        return [OwnShapes(tree) for tree in trees]  # map_leaves says where they differ
    for k, shapes in enumerate(_shapes(moment, "gradient", updates)):
        have = [None if column[k] is None else shape_of(column[k]) for column in columns]
        expected = [*(shapes or ()), *[None] * (len(have) - len(shapes or ()))]
        if shapes is not None and have != expected:
            raise ValueError(
                f"{moment!r} keeps arrays of the shapes {expected} for the gradient at {leaf_names(updates)[k]}; the "
                f"state has {have}: make the state with this transformation's own init"
            )
    return [OwnShapes(tree) for tree in trees]
