"""What `watch` measures of one update: numbers of each leaf, or of groups of leaves, in its rings."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width
from gradtx.core.numerics import abs_sq
from gradtx.core.trees import shape_of
from gradtx.inspection.geometry import cosine, unit
from gradtx.inspection.grouping import ABSENT, Groups, over, reduced
from gradtx.inspection.sampling import sample
from gradtx.sparse.rows import RowSparse, distinct

SCALARS = (
    "grad_norm",
    "update_rms",
    "update_to_weight",
    "cosine_to_gradient",
    "cosine_to_previous",
    "sign_agreement",
    "clipped",
    "nonfinite",
    "zeros",
    "second_moment_min",
    "second_moment_max",
)
"""One number for each group, in the order in which they are kept; after them come the norms after each stage."""


class Leaf(NamedTuple):
    """One leaf of an update.

    gradient; after: the updates after each stage; weight: the parameter; moments: arrays
    of its shape that the state declares as divisors. All that are not parameters or moments may be RowSparse.
    """

    gradient: Any
    after: tuple[Any, ...]
    weight: Any
    moments: tuple[Any, ...]


class Setting(NamedTuple):
    """What is measured. Hashable, so that a leaf is traced once for each shape.

    clips: of each stage, whether it is a clip. sample: entries of a leaf at most. low, high, bins: of the histogram, in
    powers of ten. dtype: of all numbers.
    """

    clips: tuple[bool, ...]
    sample: int
    low: float
    high: float
    bins: int
    dtype: Any


@functools.partial(jax.jit, static_argnums=(1, 2, 4))  # of the module: an eager step is then one program, compiled once
def measure_update(
    leaves: Sequence[Leaf], group_of: Sequence[int], groups: int, previous: Any, setting: Setting
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The numbers of one update.

    Args:
        leaves: the trained leaves.
        group_of: the group of each; groups: how many there are.
        previous: `samples` of the update before this one; None where that is not kept.
        setting: what is measured.

    Returns: numbers, (groups, len(SCALARS) + stages); counts of effective rates, (groups, bins); the samples of this
        update, or None.
    """
    of, which = np.asarray(group_of), Groups(np.asarray(group_of), groups)
    total = _all_numbers([_widened(leaf, setting.dtype) for leaf in leaves], setting)
    norms = which.norms(total["norms"])  # (groups, 1 + stages + 1)
    sizes = which.sums(np.asarray([math.prod(shape_of(leaf.gradient)) for leaf in leaves], setting.dtype)[:, None])[
        :, 0
    ]
    update = norms[:, -2]

    share = total["norms"] / jnp.where(norms == 0, 1, norms)[of]
    downhill = -which.sums((total["cosine"] * share[:, 0] * share[:, -2])[:, None])[:, 0]
    counts = which.sums(total["counts"])
    least, greatest = which.least(total["least"]), -which.least(-total["greatest"])

    drawn = [_sampled(column, setting) for column in ([x.gradient for x in leaves], [_update(x) for x in leaves])]
    now, before = jnp.concatenate(list(map(_parts, drawn[1]))), (ABSENT, ABSENT)
    if previous is not None:
        lengths = [_parts_length(u) for u in drawn[1]]
        before = Groups(np.repeat(of, lengths), groups).along(now, previous.astype(setting.dtype))
    row = {
        "grad_norm": norms[:, 0],
        "update_rms": update / jnp.sqrt(jnp.maximum(sizes, 1)),
        "update_to_weight": over(update, norms[:, -1]),
        "cosine_to_gradient": jnp.where((norms[:, 0] > 0) & (update > 0), jnp.clip(downhill, -1, 1), ABSENT),
        "cosine_to_previous": before[0],
        "sign_agreement": before[1],
        "clipped": over(counts[:, 2], counts[:, 3]) if any(setting.clips) else ABSENT,
        "nonfinite": over(counts[:, 0], sizes),
        "zeros": over(sizes - counts[:, 1], sizes),
        "second_moment_min": jnp.where(least <= greatest, least, ABSENT),
        "second_moment_max": jnp.where(least <= greatest, greatest, ABSENT),
    }
    scalars = jnp.stack([jnp.broadcast_to(row[name], (groups,)).astype(setting.dtype) for name in SCALARS], 1)
    values = jnp.concatenate([scalars, norms[:, 1:-1]], 1)
    return values, _rates(drawn, of, groups, setting), None if previous is None else now


@functools.partial(jax.jit, static_argnums=1)
def samples(updates: Sequence[Any], setting: Setting) -> jax.Array:
    """What is kept of an update for the next one: of each leaf a few entries, one after the other."""
    return jnp.concatenate(list(map(_parts, _sampled(updates, setting))))


STACKED = 2**16
"""Leaves of at most so many entries are stacked with others of their shape: so a wide tree compiles as a narrow one."""


def _all_numbers(leaves: list[Leaf], setting: Setting) -> dict[str, jax.Array]:
    """`_leaf_numbers` of all leaves, each number with a first axis for them."""
    alike: dict[Any, list[int]] = {}
    for k, leaf in enumerate(leaves):
        shapes = tuple((x.shape, x.dtype) for x in jax.tree.leaves(leaf))
        alone = leaf.gradient.size > STACKED or any(map(_is_rows, jax.tree.leaves(leaf, is_leaf=_is_rows)))
        alike.setdefault((shapes, k if alone else jax.tree.structure(leaf)), []).append(k)
    found = []
    for places in alike.values():
        if len(places) == 1:
            one = _leaf_numbers(leaves[places[0]], setting)
            found.append(jax.tree.map(lambda x: x[None], one))
        else:
            stacked = jax.tree.map(lambda *x: jnp.stack(x), *(leaves[k] for k in places))
            found.append(jax.vmap(lambda leaf: _leaf_numbers(leaf, setting))(stacked))
    order = np.argsort([k for places in alike.values() for k in places])
    return jax.tree.map(lambda *x: jnp.concatenate(x)[order], *found)


def _widened(leaf: Leaf, dtype: Any) -> Leaf:
    """The leaf in the type of the measures; dense where a stage has made it so."""
    leaf = jax.tree.map(lambda x: _wide(x, dtype), leaf, is_leaf=_is_rows)
    if not all(map(_is_rows, (leaf.gradient, *leaf.after))):
        leaf = jax.tree.map(lambda x: x.dense() if _is_rows(x) else x, leaf, is_leaf=_is_rows)
    return leaf


def _update(leaf: Leaf) -> Any:
    return leaf.after[-1] if leaf.after else leaf.gradient


@functools.partial(jax.jit, static_argnums=1)
def _leaf_numbers(leaf: Leaf, setting: Setting) -> dict[str, jax.Array]:
    """Of one leaf: norms of gradient, stages and weight; cosine; counts; range of the second moments.

    The entries are multiplied by a power of two that a sample of them suggests: so squares do not overflow or vanish.
    """
    gradient = leaf.gradient
    kinds = [gradient, *(leaf.after or (gradient,)), leaf.weight]
    units = [unit(jnp.max(jnp.abs(sample(x, setting.sample)), initial=0)) for x in kinds]
    xs = [_entries(x) * factor.astype(x.dtype) for x, factor in zip(kinds, units, strict=True)]
    k = len(leaf.after or (gradient,))  # of the update

    stages = [_entries(x) for x in (gradient, *leaf.after)]
    clipped = [(b, a) for b, a, clip in zip(stages, stages[1:], setting.clips, strict=False) if clip]
    marks = [~jnp.isfinite(stages[0]), stages[0] != 0]
    marks += [_any(jnp.abs(a) < jnp.abs(b) for b, a in clipped), _any(b != 0 for b, _ in clipped)] if clipped else []
    sums = [*map(abs_sq, xs), (xs[0].conj() * xs[k]).real, *(mark.astype(setting.dtype) for mark in marks)]
    sums, least, greatest = reduced(sums, leaf.moments, setting.dtype)

    squares, dot, counts = sums[: len(xs)], sums[len(xs)], sums[len(xs) + 1 :]
    norms = [jnp.sqrt(square) / factor for square, factor in zip(squares, units, strict=True)]
    return {
        "norms": jnp.stack(norms),
        "cosine": cosine(dot, squares[0], squares[k], 0),
        "counts": jnp.stack([*counts, *[jnp.zeros((), setting.dtype)] * (4 - len(counts))]),
        "least": least,
        "greatest": greatest,
    }


def _rates(drawn: list, of: np.ndarray, groups: int, setting: Setting) -> jax.Array:
    """How many of the sampled entries have which |update|/|gradient|; the outer bins are open."""
    g, u = (jnp.concatenate(list(map(jnp.abs, column))) for column in drawn)
    group = np.repeat(of, [x.shape[0] for x in drawn[0]])
    power = jnp.log10(u) - jnp.log10(jnp.where(g == 0, 1, g))
    place = jnp.clip((power - setting.low) * (setting.bins / (setting.high - setting.low)), 0, setting.bins - 1)
    known = (g != 0) & jnp.isfinite(g) & jnp.isfinite(u)
    place = jnp.where(known, group.astype(np.int32) * setting.bins + place.astype(jnp.int32), groups * setting.bins)
    counts = jnp.zeros((groups * setting.bins,), jnp.int32).at[place].add(1, mode="drop")
    return counts.reshape(groups, setting.bins)


def _any(marks: Any) -> jax.Array:
    return functools.reduce(jnp.logical_or, marks)


def _is_rows(x: Any) -> bool:
    return isinstance(x, RowSparse)


def _entries(x: Any) -> jax.Array:
    """The entries of a leaf that may differ from 0."""
    return distinct(x).values if isinstance(x, RowSparse) else x


def _wide(x: Any, dtype: Any) -> Any:
    """A leaf in the real type of the measures, or the complex one of that width."""
    x = x if isinstance(x, RowSparse) else jnp.asarray(x)
    return x.astype(at_width(x.dtype, dtype))


def _sampled(column: Sequence[Any], setting: Setting) -> list[jax.Array]:
    return [sample(_wide(x, setting.dtype), setting.sample) for x in column]


def _parts(x: jax.Array) -> jax.Array:
    """Real numbers: of complex ones the real parts, then the imaginary ones."""
    return jnp.concatenate([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def _parts_length(x: jax.Array) -> int:
    return x.shape[0] * (2 if jnp.iscomplexobj(x) else 1)
