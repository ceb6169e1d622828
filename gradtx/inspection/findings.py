"""Where something looks wrong in a step, in sentences, with the thresholds that decide."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

from gradtx.inspection.explain_measures import Measured, Part
from gradtx.inspection.rows import LeafRow
from gradtx.inspection.words import RESTING

UPDATE_LARGE = 1e-2
"""Norm of the update over that of the weights: above, training tends to become unstable; 1e-3 is usual. Of vectors it
is a note: biases begin at 0, and move by large parts of themselves in trainings that are well."""

UPDATE_SMALL = 1e-7
"""The same: below, worth a word where rounding loses most of it; next to 1, float32 numbers are 1.2e-7 apart."""

MOMENTS_DEAD = 0.01
"""Share of a leaf's entries whose second moment is zero though their gradient is not: above, worth a word."""

EPS_DOMINATES = 0.5
"""Share of the second moments whose root is below eps: above, the member divides by eps, not by what it measured."""

STALLED = 0.5
"""Share of a leaf's entries with an update whose parameter is rounded back to what it was: above, the leaf stalls."""

CLIPPED_ALWAYS = 0.95
"""Share of the steps kept by a `watch` that were clipped: from here on, the bound is a learning rate in disguise."""

CLIPPED_STEPS = 5
"""Steps that a `watch` must have kept before it is said that all of them were clipped."""

SIDEWAYS = 0.02
"""Cosine between the update and straight downhill: nearer to zero than this, the step hardly follows the gradient."""

UPHILL = 0.02
"""The same, when it is negative: beyond this, the step climbs."""

Make = Callable[..., "Finding"]

SEVERITIES = ("error", "warning", "note")
CAUSES = ("weights_nonfinite", "gradient_nonfinite")  # of much that is found besides: they come first


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something worth a word about a step.

    leaf: its path; "" for the whole tree. stage: the member in which it is seen; "" for the step as a whole. severity:
    "error" (the step does harm), "warning" (it may well be wrong) or "note" (good to know). sentence: what it is.
    value, threshold: the number, and the bound that it crosses. kind: a short name, the same for all of one sort.
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
        clipped: how many steps were clipped, of how many that a `watch` has measured; (0, 0) without one.
    """
    places = {row.leaf: k for k, row in enumerate(rows)}
    parts = [part for part in measured.parts if part.ran is None or part.ran]
    resting = _resting(parts)
    found = [*_of_the_step(rows, parts, resting, clipped)]
    for row in rows:
        found.extend(_of_a_leaf(row, places[row.leaf], parts))
    return tuple(sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.kind not in CAUSES)))


def _of_the_step(
    rows: tuple[LeafRow, ...], parts: list[Part], resting: Part | None, clipped: tuple[int, int]
) -> Iterator[Finding]:
    if resting is not None:
        yield Finding("", resting.place, "note", f"{RESTING[resting.name]}", 0.0, 0.0, "no_step")
    for part in parts:
        if name := _rate_is_zero(part):
            held = [row.leaf for k, row in enumerate(rows) if row.trained and k in part.places]
            all_of_them = len(held) == sum(row.trained for row in rows)
            what = (
                "nothing moves"
                if all_of_them
                else f"{f'{held[0]} rests' if len(held) == 1 else f'{len(held)} leaves rest'}"
            )
            sentence = f"{name} is 0 in this step: {what} (a warm-up from 0 begins with a step for nothing)"
            yield Finding("", part.place, "warning", sentence, 0.0, 0.0, "rate_zero")
        cut = [k for k, change in part.change.items() if change["changed"] and part.clips]
        if cut and not any(x["nonfinite"] for x in part.after.values()):
            yield _clip(part, cut, *clipped)
    moving = [row for row in rows if row.update > 0 and row.gradient > 0 and not math.isnan(row.cosine_to_gradient)]
    whole = math.hypot(*(row.update for row in moving)) * math.hypot(*(row.gradient for row in moving))
    if len(moving) > 1 and 0 < whole < math.inf:
        cosine = sum(row.cosine_to_gradient * row.update * row.gradient for row in moving) / whole
        yield from _direction("", max(-1.0, min(1.0, cosine)))


def _clip(part: Part, cut: list[int], clips: int, steps: int) -> Finding:
    share = clips / steps if steps else 0.0
    if steps >= CLIPPED_STEPS and share >= CLIPPED_ALWAYS:
        sentence = (
            f"clipped in {clips} of the last {steps} steps measured: the bound then sets the length of every "
            f"step; raise it, or count on it instead of the learning rate"
        )
        return Finding("", part.place, "warning", sentence, share, CLIPPED_ALWAYS, "clipped_always")
    before, after = (math.hypot(*(float(column[k]["norm"]) for k in cut)) for column in (part.before, part.after))
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
    if math.isnan(row.update) and not row.stages:
        return  # a leaf without entries
    if not math.isfinite(row.weight):  # what else is wrong may come of it
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
    yield from _of_moments(row, k, parts, finding)
    if row.update == 0:
        yield from _without_update(row, parts, finding)
        return
    if row.weight == 0:
        said = f"the weights are all zero, so update/weight says nothing; the update has norm {row.update:.3g}"
        yield finding("note", "weights_zero", said, 0.0, 0.0)
    if row.ratio > UPDATE_LARGE:
        norms = f"norms {row.update:.3g}, {row.weight:.3g}"
        said = f"the update is {row.ratio:.2g} times the weights ({norms})"
        if len(row.shape) < 2:
            yield finding("note", "update_large", f"{said}, as it may be of a vector", row.ratio, UPDATE_LARGE)
        else:
            yield finding("warning", "update_large", f"{said}: lower its rate", row.ratio, UPDATE_LARGE)
    if row.stalled > STALLED:
        yield from _lost(row, finding)
    yield from _direction(row.leaf, row.cosine_to_gradient)


def _lost(row: LeafRow, finding: Make) -> Iterator[Finding]:
    """What is rounded away. In half precision there are cures; in others it is worth a word only where the update as a
    whole is small: of a table, the rows without a gradient for long have updates that fade away."""
    lost = f"in {row.stalled:.0%} of the entries the step is lost in the rounding of {row.dtype}"
    if row.dtype in ("bfloat16", "float16"):
        said = f"{lost}: round_stochastically, compensate or keep_master keep it"
        yield finding("warning", "stalled", said, row.stalled, STALLED)
    elif row.ratio < UPDATE_SMALL:
        said = f"the update is {row.ratio:.2g} times the weights, and {lost}: raise its rate"
        yield finding("warning", "update_small", said, row.ratio, UPDATE_SMALL)


def _without_update(row: LeafRow, parts: list[Part], finding: Make) -> Iterator[Finding]:
    frozen = next((s for s in row.stages if s.says == RESTING["freeze"]), None)
    if frozen is not None:
        yield finding("note", "frozen", "frozen", 0.0, 0.0, frozen.stage)
        return
    rests = any(s.says in RESTING.values() for s in row.stages)
    if row.gradient > 0 and not rests and not any(_rate_is_zero(part) for part in parts):
        stage = next((s.stage for s in row.stages if s.norm_out == 0), "")
        yield finding("warning", "no_update", "no update, though there is a gradient", 0.0, 0.0, stage)


def _rate_is_zero(part: Part) -> str:
    """The name of the rate that is 0 in this step, if one is."""
    return next((name for name in ("learning_rate", "step_size") if part.numbers.get(name) == 0), "")


def _of_moments(row: LeafRow, k: int, parts: list[Part], finding: Make) -> Iterator[Finding]:
    for part in parts:
        for field, of in part.moments.items():
            if k not in of:
                continue
            alive, dead, dwarfed = (int(of[k][name]) for name in ("alive", "dead", "dwarfed"))
            share = dead / row.size
            if share > MOMENTS_DEAD:
                said = (
                    f"{field} is zero in {share:.0%} of the entries, whose gradient is not: its square is too small "
                    f"a number"
                )
                yield finding("warning", "moments_dead", said, share, MOMENTS_DEAD, part.place)
            if alive and dwarfed / alive > EPS_DOMINATES:
                said = (
                    f"eps is larger than the root of {field} in {dwarfed / alive:.0%} of the entries: lower eps, or "
                    f"scale the loss"
                )
                yield finding("warning", "eps_dominates", said, dwarfed / alive, EPS_DOMINATES, part.place)


def _direction(leaf: str, cosine: float) -> Iterator[Finding]:
    if cosine < -UPHILL:
        said = f"the update points uphill for this gradient: cosine {cosine:.2f} to straight downhill"
        yield Finding(leaf, "", "warning", said, cosine, -UPHILL, "uphill")
    elif abs(cosine) < SIDEWAYS:
        said = f"update and gradient are nearly orthogonal: cosine {cosine:.3f} to straight downhill"
        yield Finding(leaf, "", "note", said, cosine, SIDEWAYS, "sideways")


def _resting(parts: list[Part]) -> Part | None:
    """The wrapper, not a freeze, that held all parameters still, if one did."""
    for part in parts:
        if part.way == "out" and part.name in RESTING and part.name != "freeze" and part.after:
            still = all(x["norm"] == 0 for x in part.after.values())
            if still and any(change["changed"] for change in part.change.values()):
                return part
    return None
