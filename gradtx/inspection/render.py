"""An explanation as text of 120 columns, as a table for a notebook, and as a page that loads and runs nothing."""

from __future__ import annotations

import math
import textwrap
from html import escape

from gradtx.inspection.findings import SEVERITIES, Finding
from gradtx.inspection.rows import LeafRow, StageRow

WIDTH = 120
"""Columns of the text."""

HEAD = "leaf, and what each stage did"

LEAVES, LEAVES_IN_HTML = 8, 12
"""Leaves that the text and the table of a notebook show, those with the most severe findings first; a page has all."""

KINDS = 12
"""Kinds of findings that the text shows; those of one kind are one sentence."""

SPAN = 1e-8
"""The RMS of the shortest bar over the largest in the table; bars are logarithmic."""

STYLE = """
div.gradtx-explain { font: 14px/1.45 system-ui, sans-serif; max-width: 76rem; }
OUR ul { list-style: none; margin: .6em 0; padding: 0; }
OUR li { margin: .25em 0; padding-left: .7em; border-left: 4px solid rgba(128,128,128,.4); }
OUR li.error { border-left: 4px double; }
OUR li.warning { border-left: 4px solid; }
OUR .scroll { overflow-x: auto; }
OUR table { border-collapse: collapse; width: 100%; color: inherit; table-layout: auto; font-size: inherit; }
OUR caption { text-align: left; padding: .4em 0; color: inherit; }
OUR tr { background: none; }
OUR th, OUR td { text-align: left; padding: .15em .7em .15em 0; vertical-align: top; background: none; border: 0;
  font-weight: normal; max-width: none; white-space: normal; line-height: inherit; }
OUR thead th, OUR .leaf th { font-weight: bold; }
OUR thead th { border-bottom: 2px solid; }
OUR .leaf th { border-top: 1px solid rgba(128,128,128,.5); padding-top: .5em; overflow-wrap: anywhere; }
OUR th.member { padding-left: 1.2em; min-width: 13em; overflow-wrap: anywhere; }
OUR th.number, OUR td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
OUR td.wide { min-width: 9.5em; }
OUR .bar { display: block; height: .4em; background: currentColor; opacity: .5; }
OUR .track { display: block; width: 100%; background: rgba(128,128,128,.2); }
""".replace("OUR", "div.gradtx-explain.gradtx-explain")  # twice: a notebook's own style is strong

Rows = tuple[LeafRow, ...]
Findings = tuple[Finding, ...]


def text(call: str, rows: Rows, findings: Findings) -> str:
    """The explanation as text: findings, then what each stage did to each leaf."""
    groups = by_kind(findings)
    lines = [_shortened(call, WIDTH), summary(rows), "", *([] if groups else ["nothing looks wrong"])]
    for group in groups[:KINDS]:
        lines += textwrap.wrap("{:8} {}".format(*sentence(group)), WIDTH, subsequent_indent=" " * 9)
    if len(groups) > KINDS:
        lines.append(f"and {len(groups) - KINDS} more kinds of findings, in .findings")
    shown, left = worst(rows, findings, LEAVES)
    names = [_name(s, row.stages[:i])[-1] for row in shown for i, s in enumerate(row.stages)]
    width = min(max([len(HEAD), *map(len, names)]), WIDTH - 80)
    lines += ["", f"{HEAD:{width}} {'norm in':>9} {'out':>9} {'RMS out':>9}", "-" * WIDTH]
    for row in shown:
        lines += _leaf_text(row, width)
    if left:
        lines.append(f"and {left}, in .rows")
    return "\n".join(line.rstrip() for line in lines)


def table(call: str, rows: Rows, findings: Findings, most: int | None = LEAVES_IN_HTML, heading: str = "strong") -> str:
    """The explanation as one HTML element.

    Args:
        call: the transformation, as it prints.
        rows, findings: of the explanation.
        most: how many leaves are shown; None: all, in their own order.
        heading: the element of its first line.
    """
    shown, left = (list(rows), "") if most is None else worst(rows, findings, most)
    largest = max((s.rms_out for row in shown for s in row.stages if math.isfinite(s.rms_out)), default=0.0)
    items = "".join(
        f'<li class="{group[0].severity}"><b>{group[0].severity}</b>: {escape(sentence(group)[1])}</li>'
        for group in by_kind(findings)
    )
    heads = {"leaf, and its stages": "", "norm in": "number", "norm out": "number", "RMS out, bar logarithmic": "wide"}
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in {**heads, "what it did": ""}.items())
    body = "".join(_leaf_html(row, findings, largest) for row in shown)
    more = f"<p>and {left}, in <code>.rows</code></p>" if left else ""
    return (
        f'<div class="gradtx-explain"><style>{STYLE}</style><{heading}>One step of {_code(call)}</{heading}>'
        f"{f'<ul>{items}</ul>' if items else '<p>Nothing looks wrong.</p>'}"
        f'<div class="scroll"><table><caption>What each stage did to each leaf. {escape(summary(rows))}.</caption>'
        f"<thead><tr>{head}</tr></thead>{body}</table></div>{more}</div>"
    )


def page(call: str, rows: Rows, findings: Findings) -> str:
    """The explanation as an HTML page that needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>gradtx: one step explained</title>'
        "<style>:root { color-scheme: light dark; } body { margin: 1.5rem; } h1 { font-size: 1.15rem; }</style></head>"
        f"<body><main>{table(call, rows, findings, None, 'h1')}</main></body></html>\n"
    )


def summary(rows: Rows) -> str:
    """The step as a whole, in a line."""
    trained = [row for row in rows if row.trained and row.size]
    gradient, update, weight = (math.hypot(*(getattr(r, x) for r in trained)) for x in ("gradient", "update", "weight"))
    ratio = f", update/weight {update / weight:.2g}" if weight else ""
    numbers = f"{sum(row.size for row in trained):,} numbers trained"
    norms = f"gradient {gradient:.3g}, update {update:.3g}, weights {weight:.3g}"
    return f"{_leaves(len(rows))}, {numbers}; norms: {norms}{ratio}"


def by_kind(findings: Findings) -> list[list[Finding]]:
    """The findings of each kind together, the most severe kinds first, in each the most severe and largest first."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.kind), []).append(finding)
    return [sorted(group, key=_worst_first) for group in kinds.values()]


def sentence(group: list[Finding]) -> tuple[str, str]:
    """The findings of one kind: their severity with a colon, and a sentence about the first leaf that names others."""
    first, others = group[0], [f.leaf for f in group[1:]]
    more = f" and {_leaves(len(others) - 3, 'more ')}" if len(others) > 3 else ""
    also = f"; also {', '.join(others[:3])}{more}" if others else ""
    return f"{first.severity}:", f"{first.leaf or first.stage or 'the step'}: {first.sentence}{also}"


def worst(rows: Rows, findings: Findings, most: int) -> tuple[list[LeafRow], str]:
    """At most this many rows, those with the most severe findings first; and how many more there are, in words."""
    rank: dict[str, tuple[int, float]] = {}
    for finding in sorted(findings, key=_worst_first):
        rank.setdefault(finding.leaf, _worst_first(finding))
    none = len(SEVERITIES)
    order = sorted(rows, key=lambda row: rank.get(row.leaf, (none, 0.0)) if row.trained else (none + 1, 0.0))
    return order[:most], _leaves(len(rows) - most, "more ") if len(rows) > most else ""


def _worst_first(finding: Finding) -> tuple[int, float]:
    """The severity, then how far beyond its threshold it is, as a ratio."""
    value, threshold = finding.value, finding.threshold
    beyond = abs(math.log(value / threshold)) if 0 < value < math.inf and threshold > 0 else 0.0
    return SEVERITIES.index(finding.severity), -beyond


def result(row: LeafRow) -> str:
    """What the whole step did to a leaf."""
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


def _leaf_text(row: LeafRow, width: int) -> list[str]:
    trained = "" if row.trained else ": not trained"
    lines = [_shortened(f"{row.leaf}  ({_kind(row, ' x ')}){trained}", WIDTH)]
    for i, s in enumerate(row.stages):
        *inside, name = _name(s, row.stages[:i])
        said, *more = textwrap.wrap(s.says, WIDTH - width - 32) or [""]
        numbers = f"{s.norm_in:9.3g} {s.norm_out:9.3g} {s.rms_out:9.3g}"
        lines += [*inside, f"{_shortened(name, width):{width}} {numbers}  {said}"]
        lines += [" " * (width + 32) + line for line in more]
    if row.trained and not math.isnan(row.update):
        lines += textwrap.wrap(result(row), WIDTH, initial_indent="  = ", subsequent_indent="    ")
    return lines


def _name(s: StageRow, before: tuple[StageRow, ...]) -> list[str]:
    """The name of a stage as it is shown; in front of it, once, a line with what it is in."""
    inside, _, name = s.stage.rpartition("/")
    last = before[-1].stage.rpartition("/")[0] if before else ""
    lines = [f"  in {inside}:"] if inside and inside != last else []
    return [*lines, f"  {'  ' if inside else ''}{name}"]


def _leaf_html(row: LeafRow, findings: Findings, largest: float) -> str:
    about = sorted({f.severity for f in findings if f.leaf == row.leaf and f.severity != "note"})
    state = "".join(f"; {severity}" for severity in about) if row.trained else "; not trained"
    said = f"{_code(row.leaf)} ({escape(_kind(row, ' × '))}){escape(state)}"
    lines = [f'<tr class="leaf"><th scope="rowgroup" colspan="5">{said}</th></tr>']
    for s in row.stages:
        bar = f'<span class="bar" style="width:{_length(s.rms_out, largest):.0%}"></span>'
        lines.append(
            f'<tr><th scope="row" class="member">{escape(s.stage)}</th><td class="number">{s.norm_in:.3g}</td>'
            f'<td class="number">{s.norm_out:.3g}</td><td class="wide">{s.rms_out:.3g}'
            f'<span class="track" aria-hidden="true">{bar}</span></td><td>{escape(s.says)}</td></tr>'
        )
    if row.trained and row.stages:
        lines.append(f'<tr><th scope="row" class="member">in all</th><td colspan="4">{escape(result(row))}</td></tr>')
    return f"<tbody>{''.join(lines)}</tbody>"


def _length(x: float, largest: float) -> float:
    """The length of a bar, from 0 to 1."""
    if not (math.isfinite(x) and x > 0 and largest > 0):
        return 0.0
    return max(0.0, 1 - math.log(x / largest) / math.log(SPAN))


def _kind(row: LeafRow, by: str) -> str:
    shape = by.join(map(str, row.shape)) if row.shape else "scalar"
    return "None" if row.dtype == "None" else f"{shape} {row.dtype}"


def _leaves(count: int, more: str = "") -> str:
    return f"{count} {more}{'leaf' if count == 1 else 'leaves'}"


def _shortened(words: str, most: int) -> str:
    """At most this many letters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _code(words: str) -> str:
    return f"<code>{escape(words)}</code>"
