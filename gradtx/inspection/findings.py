"""Where something looks wrong in a step, in sentences, with the thresholds that decide."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from gradtx.inspection.rows import LeafRow, Measured, Part

UPDATE_LARGE = 1e-2
"""Norm of the update over that of the weights: above it, training tends to become unstable; 1e-3 is usual. For vectors
it is a note: biases begin at 0, and move by large parts of themselves in trainings that go well."""

UPDATE_SMALL = 1e-7
"""The same ratio: below it, an update is reported if rounding loses most of it. Next to 1, float32 numbers are 1.2e-7
apart."""

MOMENTS_DEAD = 0.01
"""Share of a leaf's entries whose second moment is zero though their gradient is not: above it, this is reported."""

EPS_DOMINATES = 0.5
"""Share of the second moments whose root is below eps: above it, the member divides by eps and not by what it has
measured."""

STALLED = 0.5
"""Share of a leaf's entries with an update whose parameter is rounded back to its value: above it, the leaf stalls."""

CLIPPED_ALWAYS = 0.95
"""Share of clipped steps among those that a `watch` has kept: from here on, the bound acts as a learning rate."""

CLIPPED_STEPS = 5
"""Steps that a `watch` must have kept before clipping in all of them is reported."""

SIDEWAYS = 0.02
"""Absolute cosine between the update and straight downhill: below it, the step hardly follows the gradient."""

UPHILL = 0.02
"""The same, for a negative cosine: beyond it, the step climbs."""

Make = Callable[..., "Finding"]

SEVERITIES = ("error", "warning", "note")
CAUSES = ("weights_nonfinite", "gradient_nonfinite")  # they cause other findings, and come first


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing about a step that the user should know.

    leaf: its path; "" for the whole tree. stage: the stage in which it is seen; "" for the step as a whole. severity:
    "error" (the step does harm), "warning" (it may well be wrong) or "note" (good to know). sentence: what it is.
    value, threshold: the number, and the bound that it crosses. kind: a short name, the same for all findings of one
    kind.
    """

    leaf: str
    stage: str
    severity: str
    sentence: str
    value: float
    threshold: float
    kind: str


def find(rows: tuple[LeafRow, ...], measured: Measured, clipped: tuple[int, int]) -> tuple[Finding, ...]:
    """All findings of a step, the most severe first.

    Args:
        rows: of the leaves.
        measured: the step in numbers.
        clipped: in how many steps a clip was at work, of how many that a `watch` has measured; (0, 0) without one.
    """
    parts = measured.taking_part
    found = list(_of_the_step(rows, parts, clipped))
    for k, row in enumerate(rows):
        found.extend(_of_a_leaf(row, k, parts))
    return tuple(sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.kind not in CAUSES)))


def _of_the_step(rows: tuple[LeafRow, ...], parts: list[Part], clipped: tuple[int, int]) -> Iterator[Finding]:
    resting = next(filter(_rests, parts), None)
    if resting is not None:
        yield Finding("", resting.place, "note", resting.traits.words["rest"], 0.0, 0.0, "no_step")
    for part in parts:
        if name := _rate_is_zero(part):
            held = [row.leaf for k, row in enumerate(rows) if row.trained and k in part.places]
            what = f"{held[0]} rests" if len(held) == 1 else f"{len(held)} leaves rest"
            if len(held) == sum(row.trained for row in rows):
                what = "nothing moves"
            sentence = f"{name} is 0 in this step: {what} (the first step of a warm-up from 0 is lost)"
            yield Finding("", part.place, "warning", sentence, 0.0, 0.0, "rate_zero")
        if part.traits.clips and part.change["changed"].any() and not part.change["nonfinite_after"].any():
            yield _clip(part, *clipped)
    moving = [row for row in rows if row.update > 0 and row.gradient > 0 and not math.isnan(row.cosine_to_gradient)]
    whole = math.hypot(*(row.update for row in moving)) * math.hypot(*(row.gradient for row in moving))
    if len(moving) > 1 and 0 < whole < math.inf:
        cosine = sum(row.cosine_to_gradient * row.update * row.gradient for row in moving) / whole
        yield from _direction("", max(-1.0, min(1.0, cosine)))


def _rests(part: Part) -> bool:
    """Whether this is a wrapper that made no step, in which every leaf was held still."""
    change = part.change
    return (
        part.way == "out"
        and part.rests
        and "rest" in part.traits.words
        and set(change.places) == set(part.places) != set()
        and bool((change["norm_after"] == 0).all() and change["changed"].any())
    )


def _clip(part: Part, clips: int, steps: int) -> Finding:
    share = clips / steps if steps else 0.0
    if steps >= CLIPPED_STEPS and share >= CLIPPED_ALWAYS:
        sentence = (
            f"clipped in {clips} of the last {steps} steps measured: the bound then sets the length of every "
            f"step; raise it, or count on it instead of the learning rate"
        )
        return Finding("", part.place, "warning", sentence, share, CLIPPED_ALWAYS, "clipped_always")
    cut = part.change["changed"] > 0
    before, after = (math.hypot(*map(float, part.change[f"norm_{when}"][cut])) for when in ("before", "after"))
    often = f", and in {clips} of the last {steps} measured" if steps else ""
    sentence = f"clipped in this step{often}: norm {after:.3g}, was {before:.3g}"
    return Finding("", part.place, "note", sentence, after / before if before else math.nan, 1.0, "clipped")


def _of_a_leaf(row: LeafRow, k: int, parts: list[Part]) -> Iterator[Finding]:
    def finding(severity: str, kind: str, sentence: str, value: float, threshold: float, stage: str = "") -> Finding:
        return Finding(row.leaf, stage, severity, sentence, float(value), threshold, kind)

    if not row.trained:
        what = "None" if row.dtype == "None" else row.dtype
        yield finding("note", "not_trained", f"not trained: it is {what}", math.nan, math.nan)
        return
    if not row.size:
        return
    if not math.isfinite(row.weight):  # other findings may be its consequences
        yield finding("error", "weights_nonfinite", "the parameters are not finite", row.weight, 0.0)
        return
    if row.nonfinite_in:
        said = f"{row.nonfinite_in:,} of {row.size:,} entries of the gradient are not finite"
        yield finding("error" if row.nonfinite else "warning", "gradient_nonfinite", said, row.nonfinite_in, 0.0)
    if row.nonfinite:
        stage = next((s.stage for s in row.stages if s.says.startswith("made ")), "")
        by = f", since {stage}" if stage and not row.nonfinite_in else ""
        said = f"{row.nonfinite:,} of {row.size:,} entries of the update are not finite{by}: they spoil the weights"
        yield finding("error", "update_nonfinite", said, row.nonfinite, 0.0, stage)
        return
    if row.zeros_in == 1:
        yield finding("warning", "gradient_zero", "the gradient is zero everywhere", 1.0, 1.0)
    for part in parts:
        yield from _of_moments(row, k, part, finding)
    if row.update == 0:
        yield from _without_update(row, k, parts, finding)
        return
    if row.weight == 0:
        said = f"the weights are all zero, so update/weight says nothing; the update has norm {row.update:.3g}"
        yield finding("note", "weights_zero", said, 0.0, 0.0)
    if row.ratio > UPDATE_LARGE:
        said = f"the update is {row.ratio:.2g} times the weights (norms {row.update:.3g}, {row.weight:.3g})"
        if len(row.shape) < 2:
            yield finding("note", "update_large", f"{said}, as it may be of a vector", row.ratio, UPDATE_LARGE)
        else:
            yield finding("warning", "update_large", f"{said}: lower its rate", row.ratio, UPDATE_LARGE)
    if row.stalled > STALLED:
        yield from _lost(row, finding)
    yield from _direction(row.leaf, row.cosine_to_gradient)


def _lost(row: LeafRow, finding: Make) -> Iterator[Finding]:
    """What rounding loses. In half precision there are cures. In others it is a finding only where the update as a
    whole is small: in a table, the updates of rows without a gradient fade away, and nothing is wrong."""
    lost = f"in {row.stalled:.0%} of the entries the step is lost in the rounding of {row.dtype}"
    if row.dtype in ("bfloat16", "float16"):
        said = f"{lost}: round_stochastically, compensate or keep_master keep it"
        yield finding("warning", "stalled", said, row.stalled, STALLED)
    elif row.ratio < UPDATE_SMALL:
        said = f"the update is {row.ratio:.2g} times the weights, and {lost}: raise its rate"
        yield finding("warning", "update_small", said, row.ratio, UPDATE_SMALL)


def _without_update(row: LeafRow, k: int, parts: list[Part], finding: Make) -> Iterator[Finding]:
    """A leaf that is held still is no fault: by a wrapper in this step, or in every step."""
    held = [part for part in parts if part.way == "out" and "rest" in part.traits.words]
    held = [part for part in held if (change := part.change.at(k)) and change["norm_after"] == 0 != change["changed"]]
    frozen = next((part for part in held if not part.rests), None)
    if frozen is not None:
        yield finding("note", "frozen", "frozen", 0.0, 0.0, frozen.place)
    elif row.gradient > 0 and not held and not any(map(_rate_is_zero, parts)):
        stage = next((s.stage for s in row.stages if s.norm_out == 0), "")
        yield finding("warning", "no_update", "no update, though there is a gradient", 0.0, 0.0, stage)


def _rate_is_zero(part: Part) -> str:
    """The name of the rate that is 0 in this step, if one is."""
    return next((name for name in ("learning_rate", "step_size") if part.given.get(name) == 0), "")


def _of_moments(row: LeafRow, k: int, part: Part, finding: Make) -> Iterator[Finding]:
    for field, moments in part.moments.items():
        if not (of := moments.at(k)):
            continue
        dead, dwarfed = of["dead"] / row.size, of["dwarfed"] / max(of["alive"], 1)
        if dead > MOMENTS_DEAD:
            said = f"{field} is zero in {dead:.0%} of the entries, though their gradient is not: its square underflows"
            yield finding("warning", "moments_dead", said, dead, MOMENTS_DEAD, part.place)
        if dwarfed > EPS_DOMINATES:
            said = (
                f"eps is larger than the root of {field} in {dwarfed:.0%} of the entries: lower eps, or scale the loss"
            )
            yield finding("warning", "eps_dominates", said, dwarfed, EPS_DOMINATES, part.place)


def _direction(leaf: str, cosine: float) -> Iterator[Finding]:
    if cosine < -UPHILL:
        said = f"the update points uphill for this gradient: cosine {cosine:.2f} to straight downhill"
        yield Finding(leaf, "", "warning", said, cosine, -UPHILL, "uphill")
    elif abs(cosine) < SIDEWAYS:
        said = f"update and gradient are nearly orthogonal: cosine {cosine:.3f} to straight downhill"
        yield Finding(leaf, "", "note", said, cosine, SIDEWAYS, "sideways")
