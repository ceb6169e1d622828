"""An explanation as text: findings first, then a table of what each member did, no wider than 120 columns."""

from __future__ import annotations

import math
import textwrap

from gradtx.inspection.findings import SEVERITIES, Finding
from gradtx.inspection.rows import LeafRow, StageRow

WIDTH = 120
"""Columns of the text."""

HEAD = "leaf, and what each member did"

LEAVES = 8
"""Leaves that are shown; those with the most severe findings first."""

SENTENCES = 12
"""Sorts of findings that are shown; those of one sort are one line."""


def text(call: str, rows: tuple[LeafRow, ...], findings: tuple[Finding, ...]) -> str:
    """The whole explanation."""
    lines = [shortened(call, WIDTH), summary(rows), ""]
    lines += _sentences(findings)
    shown, left = worst(rows, findings, LEAVES)
    names = [_name(s, row.stages[:i])[-1] for row in shown for i, s in enumerate(row.stages)]
    stage = min(max([len(HEAD), *map(len, names)]), WIDTH - 80)
    lines += ["", f"{HEAD:{stage}} {'norm in':>9} {'out':>9} {'RMS out':>9}", "-" * WIDTH]
    for row in shown:
        lines += _leaf(row, stage)
    if left:
        lines.append(f"and {left} {'leaf' if left == 1 else 'leaves'} more, in .rows")
    return "\n".join(line.rstrip() for line in lines)


def summary(rows: tuple[LeafRow, ...]) -> str:
    """The step as a whole, in a line."""
    trained = [row for row in rows if row.trained and row.size]
    gradient, update, weight = (
        math.hypot(*(getattr(row, x) for row in trained)) for x in ("gradient", "update", "weight")
    )
    ratio = f", update/weight {update / weight:.2g}" if weight else ""
    many = f"{len(rows)} {'leaf' if len(rows) == 1 else 'leaves'}, {sum(row.size for row in trained):,} numbers trained"
    return f"{many}; norms: gradient {gradient:.3g}, update {update:.3g}, weights {weight:.3g}{ratio}"


def by_kind(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """The findings of each kind together, the most severe kinds first, in each the most severe and largest first."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.kind), []).append(finding)
    return [sorted(group, key=_worst_first) for group in kinds.values()]


def _worst_first(finding: Finding) -> tuple[int, float]:
    """The severity, then how far beyond its threshold it is, as a ratio."""
    value, threshold = finding.value, finding.threshold
    beyond = abs(math.log(value / threshold)) if 0 < value < math.inf and threshold > 0 else 0.0
    return SEVERITIES.index(finding.severity), -beyond


def worst(rows: tuple[LeafRow, ...], findings: tuple[Finding, ...], most: int) -> tuple[list[LeafRow], int]:
    """At most so many rows, those with the most severe findings first; and how many are left out."""
    rank: dict[str, tuple[int, float]] = {}
    for finding in sorted(findings, key=_worst_first):
        rank.setdefault(finding.leaf, _worst_first(finding))
    none = len(SEVERITIES)
    order = sorted(rows, key=lambda row: rank.get(row.leaf, (none, 0.0)) if row.trained else (none + 1, 0.0))
    return order[:most], max(len(rows) - most, 0)


def _sentences(findings: tuple[Finding, ...]) -> list[str]:
    groups = by_kind(findings)
    if not groups:
        return ["nothing looks wrong"]
    lines = []
    for group in groups[:SENTENCES]:
        lines += textwrap.wrap(sentence(group), WIDTH, subsequent_indent=" " * 9)
    if len(groups) > SENTENCES:
        lines.append(f"and {len(groups) - SENTENCES} sorts of findings more, in .findings")
    return lines


def sentence(group: list[Finding]) -> str:
    """The findings of one kind in a sentence: that of the first leaf, and where else."""
    first, others = group[0], [f.leaf for f in group[1:]]
    where = first.leaf or first.stage or "the step"
    also = ""
    if others:
        named = ", ".join(others[:3])
        also = f"; also {named}" + (f" and {len(others) - 3} leaves more" if len(others) > 3 else "")
    return f"{first.severity + ':':8} {where}: {first.sentence}{also}"


def _leaf(row: LeafRow, stage: int) -> list[str]:
    shape = " x ".join(map(str, row.shape)) if row.shape else "scalar"
    kind = "None" if row.dtype == "None" else f"{shape} {row.dtype}"
    lines = [shortened(f"{row.leaf}  ({kind}){'' if row.trained else ': not trained'}", WIDTH)]
    room = WIDTH - stage - 32
    for i, s in enumerate(row.stages):
        *inside, name = _name(s, row.stages[:i])
        lines += inside
        name = shortened(name, stage)
        said = textwrap.wrap(s.says, room) or [""]
        lines.append(f"{name:{stage}} {_n(s.norm_in)} {_n(s.norm_out)} {_n(s.rms_out)}  {said[0]}")
        lines += [" " * (stage + 32) + more for more in said[1:]]
    if row.trained and not math.isnan(row.update):
        lines += textwrap.wrap(result(row), WIDTH, initial_indent="  = ", subsequent_indent="    ")
    return lines


def _name(s: StageRow, before: tuple[StageRow, ...]) -> list[str]:
    """The name of a member as it is shown; in front of it, once, a line with what it is in."""
    inside, _, name = s.stage.rpartition("/")
    last = before[-1].stage.rpartition("/")[0] if before else ""
    lines = [f"  in {inside}:"] if inside and inside != last else []
    return [*lines, f"  {'  ' if inside else ''}{name}"]


def result(row: LeafRow) -> str:
    """What the step comes to for a leaf."""
    if row.update == 0:
        return "no update"
    parts = [f"update/weight {row.ratio:.2g}" if not math.isnan(row.ratio) else "weights 0"]
    if not math.isnan(row.rate):
        parts.append(f"rate |u|/|g| {row.rate:.2g} ({row.rate_least:.2g} to {row.rate_largest:.2g})")
    if not math.isnan(row.moment_largest):
        parts.append(f"second moments {row.moment_least:.2g} to {row.moment_largest:.2g}")
    if row.zeros >= 0.005:
        parts.append(f"zero {row.zeros:.0%}")
    if row.nonfinite:
        parts.append(f"not finite {row.nonfinite:,}")
    if row.stalled >= 0.005:
        parts.append(f"lost in rounding {row.stalled:.0%}")
    return "; ".join(parts)


def shortened(words: str, most: int) -> str:
    """At most so many letters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _n(x: float) -> str:
    return f"{x:9.3g}"
