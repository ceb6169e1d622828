"""What a member did to a leaf, in plain words."""

from __future__ import annotations

import math

from gradtx.inspection.explain_measures import Part

STRAIGHT = 0.2
"""Degrees: below this the direction is called the same; float32 cannot tell less than 0.03."""

SAME = 5e-4
"""Relative change of a length below which it is called the same."""

_FOR_ALL = {"clip_by_global_norm", "clip_by_z_score"}

RESTING = {
    "accumulate": "no step yet: the gradient was added to those collected",
    "dynamic_loss_scale": "no step: a gradient is not finite",
    "every": "no step: it runs now and then",
    "freeze": "held still",
    "skip_if": "no step: skipped",
    "skip_nonfinite": "no step: skipped, something is not finite",
    "skip_spikes": "no step: skipped, the norm is a spike",
}
"""Wrappers that hold parameters still, and what it means where they do."""

_INTO = {"accumulate": "the gradients collected, as one: ", "sam": "the gradient from a little uphill instead: "}
_AFTER = {"lookahead": "back towards the slow weights: ", "schedule_free": "the step of the average: "}


def said(part: Part, k: int) -> str:
    """What a member did to the leaf at a place; "unchanged" where it did nothing to it."""
    change = part.change.get(k)
    if change is None or change["changed"] == 0:
        return ("not finite, as before" if part.after[k]["nonfinite"] else "unchanged") + _closed(part)
    before, after = part.before[k], part.after[k]
    if part.way == "in":
        return _INTO.get(part.name, "before its inside: ") + _in_general(before, after, change)
    if part.way == "out" and after["norm"] == 0 and part.name in RESTING:
        return RESTING[part.name]
    if part.clips and after["norm"] < before["norm"]:
        return _cut(part, k)
    return (_AFTER.get(part.name, "") if part.way else "") + _in_general(before, after, change) + _closed(part)


def _in_general(before: dict, after: dict, change: dict) -> str:
    made = int(after["nonfinite"]) - int(before["nonfinite"])
    if made > 0:
        return f"made {_entries(made)} not finite"
    if after["nonfinite"]:
        return f"{_entries(int(after['nonfinite']))} not finite, as before"
    if after["norm"] == 0:
        return f"set to zero (norm {before['norm']:.3g} before)"
    if before["nonfinite"]:
        return f"{_entries(int(before['nonfinite']))} not finite no longer"
    if before["norm"] == 0:
        return f"from zero to norm {after['norm']:.3g}"
    angle, factor = degrees(change["cosine"]), float(change["factor"])
    if min(angle, 180 - angle) < STRAIGHT:
        return "hardly changed" if abs(factor - 1) < SAME else _scaled(factor)
    length = float(after["norm"]) / float(before["norm"])
    turned = f"{angle:.1f}" if angle < 10 else f"{angle:.0f}"
    return f"direction turned by {turned} degrees, length {'the same' if abs(length - 1) < SAME else _scaled(length)}"


def _scaled(factor: float) -> str:
    if 0 < factor < 1 and factor > 1e-3:
        return f"divided by {1 / factor:.3g}"
    return f"multiplied by {factor:.3g}"


def _cut(part: Part, k: int) -> str:
    before, after = float(part.before[k]["norm"]), float(part.after[k]["norm"])
    words = f"cut to norm {after:.3g} (was {before:.3g})"
    if part.name not in _FOR_ALL or len(part.places) == 1:
        return words
    whole, then = (math.hypot(*(float(x["norm"]) for x in column.values())) for column in (part.before, part.after))
    return f"{words}; whole tree to {then:.3g} (was {whole:.3g})"


def _closed(part: Part) -> str:
    return " (it runs its inside under a condition, which is not shown)" if part.closed else ""


def degrees(cosine: float) -> float:
    """The angle of a cosine; NaN for NaN."""
    return math.degrees(math.acos(float(cosine)))


def _entries(n: int) -> str:
    return "1 entry" if n == 1 else f"{n:,} entries"
