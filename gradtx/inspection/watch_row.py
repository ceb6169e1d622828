"""What `watch` keeps of one step: a row of numbers for each leaf or group, counts of rates, a sample for the next."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width
from gradtx.core.trees import shape_of
from gradtx.inspection.measure import Stacks, cosine, numbers, unit
from gradtx.inspection.sampling import sample
from gradtx.sparse.rows import RowSparse

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

ABSENT = -2.0
"""Stands for a number that does not apply, since a state with NaN would look broken; `readings` makes NaN of it."""


class Setting(NamedTuple):
    """What is measured; hashable.

    group_of: the group of each leaf. groups: how many there are. clips: whether each stage is a clip. sample: entries
    of a leaf at most. low, high, bins: of the histogram of rates, in powers of ten. dtype: of all numbers.
    """

    group_of: tuple[int, ...]
    groups: int
    clips: tuple[bool, ...]
    sample: int
    low: float
    high: float
    bins: int
    dtype: Any


@functools.partial(jax.jit, static_argnums=0)  # of the module: an eager step is then one program, compiled once
def measure_row(
    setting: Setting, updates: Sequence[list], weights: list, moments: Sequence[list], previous: Any
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Measure one step.

    Args:
        setting: what is measured.
        updates: the leaves of the gradient, and those of the updates after each stage. May be RowSparse.
        weights: the leaves of the parameters.
        moments: lists like it of what the state declares as divisors, None where a leaf has none.
        previous: `samples` of the update before this one; None where that is not kept.

    Returns: numbers, (groups, len(SCALARS) + stages); counts of effective rates, (groups, bins); the samples of this
        update, or None.
    """
    groups, stages = Groups(np.asarray(setting.group_of), setting.groups), len(updates) - 1
    columns = list(zip(*map(_alike, zip(*updates, strict=True)), strict=True))

    def on_stacks(*stacks: Any, valid: Any) -> dict[str, jax.Array]:
        xs, weight, own = stacks[: stages + 1], stacks[stages + 1], [x for x in stacks[stages + 2 :] if x is not None]
        pairs = [(x, y) for x, y, clips in zip(xs, xs[1:], setting.clips, strict=False) if clips]
        marks = {"smaller": _any(abs(y) < abs(x) for x, y in pairs), "among": _any(x != 0 for x, _ in pairs)}
        named = {str(k): x for k, x in enumerate(xs)} | {"weight": weight}
        counts = marks if pairs else {}
        found = numbers(named, pair=("0", str(stages)), counted="0", counts=counts, ranged=own, among=valid, quick=True)
        nothing = jnp.full_like(found["norm_0"], np.inf)
        return {"least": nothing, "largest": -nothing, **found}

    found = Stacks(setting.dtype, copies=False).each(on_stacks, *columns, weights, *moments)
    norm = jnp.stack([found[f"norm_{k}"] for k in (*range(stages + 1), "weight")], 1)
    norms = groups.norms(norm)
    share = norm / jnp.where(norms == 0, 1, norms)[groups.of]
    downhill = -groups.sums(jnp.nan_to_num(found["cosine"], posinf=jnp.nan) * share[:, 0] * share[:, stages])
    sizes = groups.sums(np.asarray([math.prod(shape_of(x)) for x in weights], setting.dtype))
    least, largest = groups.least(found["least"]), -groups.least(-found["largest"])
    drawn = [[_sampled(x, setting) for x in column] for column in (updates[0], updates[-1])]
    now, before = jnp.concatenate(list(map(_parts, drawn[1]))), (ABSENT, ABSENT)
    if previous is not None:
        of = np.repeat(groups.of, [len(_parts(u)) for u in drawn[1]])
        before = Groups(of, setting.groups).along(now, previous.astype(setting.dtype))
    moved = (norms[:, 0] > 0) & (norms[:, stages] > 0)
    row = {
        "grad_norm": norms[:, 0],
        "update_rms": norms[:, stages] / jnp.sqrt(jnp.maximum(sizes, 1)),
        "update_to_weight": over(norms[:, stages], norms[:, -1]),
        "cosine_to_gradient": jnp.where(moved, jnp.clip(downhill, -1, 1), ABSENT),
        "cosine_to_previous": before[0],
        "sign_agreement": before[1],
        "clipped": over(groups.sums(found["smaller"]), groups.sums(found["among"])) if any(setting.clips) else ABSENT,
        "nonfinite": over(groups.sums(found["nonfinite_0"]), sizes),
        "zeros": over(sizes - groups.sums(found["nonzero_0"]), sizes),
        "second_moment_min": jnp.where(least <= largest, least, ABSENT),
        "second_moment_max": jnp.where(least <= largest, largest, ABSENT),
    }
    scalars = [jnp.broadcast_to(row[name], (setting.groups,)).astype(setting.dtype) for name in SCALARS]
    values = jnp.concatenate([jnp.stack(scalars, 1), norms[:, 1:-1]], 1)
    return values, _rates(drawn, groups.of, setting), None if previous is None else now


@functools.partial(jax.jit, static_argnums=0)
def samples(setting: Setting, update: list) -> jax.Array:
    """What is kept of an update for the next one: of each leaf a few entries, one after the other."""
    return jnp.concatenate([_parts(_sampled(x, setting)) for x in update])


class Groups(NamedTuple):
    """Sums over the members of each group. of: the group of each member. count: how many groups there are."""

    of: np.ndarray
    count: int

    def sums(self, x: Any) -> jax.Array:
        alone = len(self.of) == self.count and np.array_equal(self.of, np.arange(self.count))
        return jnp.asarray(x) if alone else jax.ops.segment_sum(jnp.asarray(x), self.of, self.count)

    def least(self, x: jax.Array) -> jax.Array:
        return jax.ops.segment_min(x, self.of, self.count)

    def norms(self, x: jax.Array) -> jax.Array:
        """The root of the sum of squares of norms, (members, kinds), without overflow."""
        largest = -self.least(-x)
        scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
        return jnp.sqrt(self.sums(jnp.square(x / scale[self.of]))) * scale

    def along(self, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of two vectors, the cosine, and the share of places with the same sign among those where neither is 0."""
        x, y = (x * unit(-self.least(-jnp.abs(x)))[self.of] for x in (a, b))
        known = (a != 0) & (b != 0) & jnp.isfinite(a) & jnp.isfinite(b)
        same = known & ((a > 0) == (b > 0))
        columns = [x * y, x * x, y * y, same.astype(x.dtype), known.astype(x.dtype)]
        dot, xx, yy, agree, among = jnp.unstack(self.sums(jnp.stack(columns, 1)), axis=1)
        return cosine(dot, xx, yy, ABSENT), over(agree, among)


def over(x: Any, y: Any) -> jax.Array:
    """x / y, and `ABSENT` where y is 0."""
    return jnp.where(y == 0, ABSENT, x / jnp.where(y == 0, 1, y))


def _alike(row: tuple) -> tuple:
    """The updates of one leaf after each stage, all of them RowSparse or none."""
    some = [isinstance(x, RowSparse) for x in row]
    return row if all(some) else tuple(x.dense() if rows else x for x, rows in zip(row, some, strict=True))


def _rates(drawn: list, of: np.ndarray, setting: Setting) -> jax.Array:
    """How many of the sampled entries have which |update|/|gradient|; the outer bins are open."""
    g, u = (jnp.concatenate(list(map(jnp.abs, column))) for column in drawn)
    group, bins = np.repeat(of, [len(x) for x in drawn[0]]).astype(np.int32), setting.bins
    power = jnp.log10(u) - jnp.log10(jnp.where(g == 0, 1, g))
    place = jnp.clip((power - setting.low) * (bins / (setting.high - setting.low)), 0, bins - 1)
    known = (g != 0) & jnp.isfinite(g) & jnp.isfinite(u)
    place = jnp.where(known, group * bins + place.astype(jnp.int32), setting.groups * bins)
    counts = jnp.zeros((setting.groups * bins,), jnp.int32).at[place].add(1, mode="drop")
    return counts.reshape(setting.groups, bins)


def _sampled(x: Any, setting: Setting) -> jax.Array:
    x = x if isinstance(x, RowSparse) else jnp.asarray(x)
    return sample(x.astype(at_width(x.dtype, setting.dtype)), setting.sample)


def _parts(x: jax.Array) -> jax.Array:
    """Real numbers: of complex ones the real parts, then the imaginary ones."""
    return jnp.concatenate([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def _any(marks: Any) -> Any:
    return functools.reduce(jnp.logical_or, marks, False)
