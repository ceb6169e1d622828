"""What `explain` says of each leaf, as data and in words."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np

from gradtx.core.traits import Traits
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.inspection.measure import Numbers

NAN = math.nan

STRAIGHT = 0.2
"""Degrees: below this angle the direction is called the same; float32 cannot tell less than 0.03."""

SAME = 5e-4
"""Relative change of a length, below which it is called the same."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("ran", "given", "change", "moments"),
    meta_fields=("place", "way", "closed", "traits", "rests", "places"),
)
@dataclasses.dataclass(frozen=True)
class Part:
    """What one stage did, in numbers.

    place, way, closed, ran: as in `Record`. traits: of the transformation. rests: whether it runs its inside in some
    steps only. places: of the leaves that it was given. given: its hyperparameters in this step. change: of each leaf,
    without those that a wrapper only passed on. moments: by the field of its state.
    """

    place: str
    way: str
    closed: bool
    traits: Traits
    rests: bool
    places: tuple[int, ...]
    ran: Any
    given: dict[str, Any]
    change: Numbers
    moments: dict[str, Numbers]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measured:
    """A step in numbers: of each stage, and of the step as a whole."""

    parts: tuple[Part, ...]
    step: Numbers

    @property
    def taking_part(self) -> list[Part]:
        """The stages that had a part in this step."""
        return [part for part in self.parts if part.ran is None or part.ran]


@dataclasses.dataclass(frozen=True)
class StageRow:
    """What one stage did to one leaf.

    stage: its name, after those of the wrappers and groups that it is in (`accumulate/scale_by_adam`). says: what it
    did. norm_in, norm_out, rms_in, rms_out: Euclidean norm and root mean square of the leaf's updates before and after.
    angle: between the two, in degrees; NaN where one is zero. way: "" for a member; for a wrapper "in" for what it does
    before its inside, "out" for what it does after.
    """

    stage: str
    says: str
    norm_in: float
    norm_out: float
    rms_in: float
    rms_out: float
    angle: float
    way: str = ""


@dataclasses.dataclass(frozen=True)
class LeafRow:
    """One leaf in one step. Numbers are NaN where the leaf is not trained, or where there is nothing to divide by.

    leaf: its path. shape, dtype: of the parameter; dtype is "None" where there is none. trained: whether it takes part.
    gradient, weight, update: Euclidean norms. update_rms: root mean square. ratio: update/weight. rate, rate_least,
    rate_largest: the effective learning rate |u|/|g| of the entries with a gradient: median (of at most 16,384 entries,
    evenly spaced) and range. cosine_to_gradient: as in `watch`, 1 where the update is straight downhill, -1 uphill.
    zeros, nonfinite: share of the update's entries that are zero, number of those that are not finite; zeros_in,
    nonfinite_in: the same for the gradient. moment_least, moment_largest: range of the second moments after this step.
    stalled: of the entries with an update, the share whose parameter is rounded back to what it was. stages: what each
    stage did, in order.
    """

    leaf: str
    shape: tuple[int, ...]
    dtype: str
    trained: bool
    gradient: float = NAN
    weight: float = NAN
    update: float = NAN
    update_rms: float = NAN
    ratio: float = NAN
    rate: float = NAN
    rate_least: float = NAN
    rate_largest: float = NAN
    cosine_to_gradient: float = NAN
    zeros: float = NAN
    zeros_in: float = NAN
    nonfinite: int = 0
    nonfinite_in: int = 0
    moment_least: float = NAN
    moment_largest: float = NAN
    stalled: float = NAN
    stages: tuple[StageRow, ...] = ()

    @property
    def size(self) -> int:
        """The number of its entries."""
        return math.prod(self.shape) if self.dtype != "None" else 0


def leaf_rows(measured: Measured, params: Any) -> tuple[LeafRow, ...]:
    """One row for each leaf, in the order of the parameters."""
    leaves = zip(leaf_names(params), flatten(params)[0], strict=True)
    return tuple(_row(k, name, param, measured) for k, (name, param) in enumerate(leaves))


def _row(k: int, name: str, param: Any, measured: Measured) -> LeafRow:
    dtype = "None" if param is None else str(getattr(param, "dtype", type(param).__name__))
    step, size = measured.step.at(k), math.prod(shape_of(param))
    if not step or not size:
        return LeafRow(name, shape_of(param), dtype, is_trained(param))
    parts = measured.taking_part
    moments = [found for part in parts for field in part.moments.values() if (found := field.at(k))]
    seen = [(part, change) for part in parts if (change := part.change.at(k)) and (not part.way or change["changed"])]
    spread = step["least"] <= step["largest"]
    return LeafRow(
        name,
        shape_of(param),
        dtype,
        True,
        gradient=step["norm_gradient"],
        weight=step["norm_weight"],
        update=step["norm_update"],
        update_rms=step["norm_update"] / size**0.5,
        ratio=_over(step["norm_update"], step["norm_weight"]),
        rate=step["median"],
        rate_least=step["least"] if spread else NAN,
        rate_largest=step["largest"] if spread else NAN,
        cosine_to_gradient=-step["cosine"],
        zeros=(size - step["nonzero_update"]) / size,
        zeros_in=(size - step["nonzero_gradient"]) / size,
        nonfinite=int(step["nonfinite_update"]),
        nonfinite_in=int(step["nonfinite_gradient"]),
        moment_least=min((found["least"] for found in moments), default=NAN),
        moment_largest=max((found["largest"] for found in moments), default=NAN),
        stalled=_over(step["stalled"], step["nonzero_update"]),
        stages=tuple(_stage(part, change, size) for part, change in seen),
    )


def _stage(part: Part, change: dict[str, float], size: int) -> StageRow:
    before, after = change["norm_before"], change["norm_after"]
    # What is not touched has turned by nothing, even where rounding makes its cosine a little less than 1.
    angle = degrees(change["cosine"]) if change["changed"] else (0.0 if before else NAN)
    return StageRow(
        part.place, said(part, change), before, after, before / size**0.5, after / size**0.5, angle, part.way
    )


def said(part: Part, change: dict[str, float]) -> str:
    """What a stage did to a leaf, in plain words; "unchanged" where it did nothing to it."""
    words, after = part.traits.words, change["norm_after"]
    closed = " (it runs its inside under a condition, which is not shown)" if part.closed else ""
    if not change["changed"]:
        return ("not finite, as before" if change["nonfinite_after"] else "unchanged") + closed
    if part.way == "in":
        return f"{words.get('in', 'before its inside')}: {_in_general(change)}"
    if part.way == "out" and after == 0 and "rest" in words:
        return words["rest"]
    if part.traits.clips and after < change["norm_before"]:
        return _cut(part, change)
    in_front = f"{words['out']}: " if part.way == "out" and "out" in words else ""
    return in_front + _in_general(change) + closed


def _in_general(change: dict[str, float]) -> str:
    before, after = change["norm_before"], change["norm_after"]
    had, has = int(change["nonfinite_before"]), int(change["nonfinite_after"])
    if has > had:
        return f"made {_entries(has - had)} not finite"
    if has:
        return f"{_entries(has)} not finite, as before"
    if after == 0:
        return f"set to zero (norm {before:.3g} before)"
    if had:
        return f"{_entries(had)} not finite no longer"
    if before == 0:
        return f"from zero to norm {after:.3g}"
    angle, factor = degrees(change["cosine"]), change["factor"]
    if min(angle, 180 - angle) < STRAIGHT:
        return "hardly changed" if abs(factor - 1) < SAME else _scaled(factor)
    turned = f"{angle:.1f}" if angle < 10 else f"{angle:.0f}"
    length = "the same" if abs(after / before - 1) < SAME else _scaled(after / before)
    return f"direction turned by {turned} degrees, length {length}"


def _scaled(factor: float) -> str:
    return f"divided by {1 / factor:.3g}" if 1e-3 < factor < 1 else f"multiplied by {factor:.3g}"


def _cut(part: Part, change: dict[str, float]) -> str:
    words = f"cut to norm {change['norm_after']:.3g} (was {change['norm_before']:.3g})"
    if not part.traits.whole_tree or len(part.places) == 1:
        return words
    was, to = (float(np.linalg.norm(part.change[f"norm_{when}"].astype(np.float64))) for when in ("before", "after"))
    return f"{words}; whole tree to {to:.3g} (was {was:.3g})"


def degrees(cosine: float) -> float:
    """The angle of a cosine; NaN for NaN."""
    return math.degrees(math.acos(cosine))


def _entries(n: int) -> str:
    return "1 entry" if n == 1 else f"{n:,} entries"


def _over(x: float, y: float) -> float:
    return x / y if y else NAN
