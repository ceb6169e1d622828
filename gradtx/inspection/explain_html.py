"""An explanation as HTML: a table for a notebook, and a page of its own. Nothing is loaded, no script runs."""

from __future__ import annotations

import math
from html import escape

from gradtx.inspection.explain_text import by_kind, result, sentence, summary, worst
from gradtx.inspection.findings import Finding
from gradtx.inspection.rows import LeafRow, StageRow

LEAVES = 12
"""Leaves of a notebook's table; a page has all."""

SPAN = 1e-8
"""The shortest bar: RMS over the largest in the table; bars are logarithmic."""

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


def table(
    call: str,
    rows: tuple[LeafRow, ...],
    findings: tuple[Finding, ...],
    most: int | None = LEAVES,
    heading: str = "strong",
) -> str:
    """The explanation as one element.

    Args:
        call: the transformation, as it prints.
        rows, findings: of the explanation.
        most: leaves that are shown; None for all, in their own order.
        heading: the element of its first line.
    """
    shown, left = (list(rows), 0) if most is None else worst(rows, findings, most)
    largest = max((s.rms_out for row in shown for s in row.stages if math.isfinite(s.rms_out)), default=0.0)
    body = "".join(_leaf(row, findings, largest) for row in shown)
    more = f"<p>and {left} {'leaf' if left == 1 else 'leaves'} more, in <code>.rows</code></p>" if left else ""
    head = "".join(
        f'<th scope="col"{style}>{name}</th>'
        for name, style in (
            ("leaf, and its members", ""),
            ("norm in", ' class="number"'),
            ("norm out", ' class="number"'),
            ("RMS out, bar logarithmic", ' class="wide"'),
            ("what it did", ""),
        )
    )
    return (
        f'<div class="gradtx-explain"><style>{STYLE}</style><{heading}>One step of {_code(call)}</{heading}>'
        f"{_findings(findings)}"
        f'<div class="scroll"><table><caption>What each member did to each leaf. {escape(summary(rows))}.</caption>'
        f"<thead><tr>{head}</tr></thead>{body}</table></div>{more}</div>"
    )


def page(call: str, rows: tuple[LeafRow, ...], findings: tuple[Finding, ...]) -> str:
    """A page that needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>gradtx: one step explained</title>'
        "<style>:root { color-scheme: light dark; } body { margin: 1.5rem; } h1 { font-size: 1.15rem; }</style></head>"
        f"<body><main>{table(call, rows, findings, None, 'h1')}</main></body></html>\n"
    )


def _findings(findings: tuple[Finding, ...]) -> str:
    groups = by_kind(findings)
    if not groups:
        return "<p>Nothing looks wrong.</p>"
    items = (f'<li class="{group[0].severity}">{_words(sentence(group))}</li>' for group in groups)
    return f"<ul>{''.join(items)}</ul>"


def _words(said: str) -> str:
    severity, _, rest = said.partition(":")
    return f"<b>{escape(severity.strip())}</b>:{escape(rest)}"


def _leaf(row: LeafRow, findings: tuple[Finding, ...], largest: float) -> str:
    shape = " × ".join(map(str, row.shape)) if row.shape else "scalar"
    kind = "None" if row.dtype == "None" else f"{shape} {row.dtype}"
    about = sorted({f.severity for f in findings if f.leaf == row.leaf and f.severity != "note"})
    state = "; not trained" if not row.trained else "".join(f"; {severity}" for severity in about)
    said = f"{_code(row.leaf)} ({escape(kind)}){escape(state)}"
    lines = [f'<tr class="leaf"><th scope="rowgroup" colspan="5">{said}</th></tr>']
    lines += [_stage(s, largest) for s in row.stages]
    if row.trained and row.stages:
        lines.append(f'<tr><th scope="row" class="member">in all</th><td colspan="4">{escape(result(row))}</td></tr>')
    return f"<tbody>{''.join(lines)}</tbody>"


def _stage(s: StageRow, largest: float) -> str:
    width = _length(s.rms_out, largest)
    bar = f'<span class="track" aria-hidden="true"><span class="bar" style="width:{width:.0%}"></span></span>'
    return (
        f'<tr><th scope="row" class="member">{escape(s.stage)}</th><td class="number">{s.norm_in:.3g}</td>'
        f'<td class="number">{s.norm_out:.3g}</td><td class="wide">{s.rms_out:.3g}{bar}</td>'
        f"<td>{escape(s.says)}</td></tr>"
    )


def _length(x: float, largest: float) -> float:
    """How long a bar is, from 0 to 1."""
    if not (math.isfinite(x) and x > 0 and largest > 0):
        return 0.0
    return max(0.0, 1 - math.log(x / largest) / math.log(SPAN))


def _code(words: str) -> str:
    return f"<code>{escape(words)}</code>"
