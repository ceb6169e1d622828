"""A race as one HTML file: pictures, style, script and the numbers themselves are inside, and nothing is fetched."""

from __future__ import annotations

import base64
import importlib.resources
import io
import re
from collections.abc import Iterable
from html import escape
from typing import Any

from gradtx.apps.race import alt, pictures, pictures_overall
from gradtx.apps.race.content import (
    HOW,
    LIMITS,
    again,
    not_compared_table,
    notes_on_overall,
    pairs,
    sources_table,
    summary,
)
from gradtx.apps.race.embedded import embedded
from gradtx.apps.race.findings import findings
from gradtx.apps.race.results import Results, TaskInfo
from gradtx.apps.race.tables import Table, about_task, agreement_table, libraries_table, overall_table, task_table

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(results: Results) -> str:
    """The whole report as one HTML file, with pictures; readable on a phone, in print, in the dark, without JavaScript.

    The numbers that it shows are in it as JSON, in the script element `results`, for programs to read.

    Args:
        results: of a race.

    Returns:
        The text; the same for equal results.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    title = "A race of optimizers"
    body = [f"<h1>{title}</h1>", f'<p class="lead">{escape(summary(results))}</p>', _contents(results)]
    body += _section("found", "What was found", _items(findings(results)))
    body += _section("overall", "Over all tasks", _overall(results))
    body += _section("tasks", "Task by task", "\n".join(_task(results, i) for i in range(len(results.tasks))))
    beside = [libraries_table(results), agreement_table(results), not_compared_table(results)]
    body += _section("libraries", "Beside other libraries", "\n".join(map(table, beside)))
    body += _section("how", "How it was measured", _terms(HOW))
    body += _section("limits", "What it does not show", _items(LIMITS))
    body += _section("again", "To run it again", _again(results))
    return "\n".join([*_head(title), *body, "</main>", *_tail(results), "</body>", "</html>", ""])


def table(content: Table) -> str:
    """A table as HTML, with a caption and headings that say what they head; nothing where it has no rows."""
    if not content.rows:
        return ""
    numeric = [all(row[i].key is not None for row in content.rows) for i in range(len(content.headings))]
    classes = [' class="number"' if right else "" for right in numeric]
    lines = [f'<div class="wide" role="region" tabindex="0" aria-label="{escape(content.caption)}">']
    lines += [f'<table class="sorts"><caption>{escape(content.caption)}</caption>', "<thead><tr>"]
    lines += [f'<th scope="col"{c}>{escape(h)}</th>' for h, c in zip(content.headings, classes, strict=True)]
    lines += ["</tr></thead>", "<tbody>"]
    for row in content.rows:
        lines.append("<tr>")
        for i, entry in enumerate(row):
            tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
            key = "" if entry.key is None else f' data-key="{_key(entry.key)}"'
            lines.append(f"<{tag}{scope}{classes[i]}{key}>{escape(entry.text)}</{tag}>")
        lines.append("</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def figure(drawn: Any, says: str, caption: str) -> str:
    """A matplotlib Figure as an SVG inside the page, with words for those who do not see it."""
    data = base64.b64encode(svg(drawn)).decode()
    return (
        f'<figure><div class="wide"><img src="data:image/svg+xml;base64,{data}" alt="{escape(says)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def svg(drawn: Any) -> bytes:
    """A Figure as SVG, the same bytes each time, and half as many: hundredths of a point, and no indentation."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "gradtx"}):
        drawn.savefig(file, format="svg", metadata={"Creator": "gradtx", "Date": None})
    text = re.sub(r"\b([1-9]\d*\.\d\d)\d{4}\b", r"\1", file.getvalue())
    return re.sub(r"\s+", " ", text).replace("> <", "><").encode()


def _head(title: str) -> list[str]:
    return [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{title}: gradtx</title>",
        f"<style>\n{_file('report.css')}</style>",
        "</head>",
        "<body>",
        "<main>",
    ]


def _tail(results: Results) -> list[str]:
    return [
        f'<script type="application/json" id="results">\n{embedded(results)}\n</script>',
        f"<script>\n{_file('report.js')}</script>",
    ]


def _contents(results: Results) -> str:
    links = [("found", "Findings"), ("overall", "Over all tasks")]
    links += [(_id(i), task.name) for i, task in enumerate(results.tasks)]
    links += [("libraries", "Libraries"), ("how", "How"), ("limits", "Limits"), ("again", "Run it again")]
    items = "".join(f'<li><a href="#{where}">{escape(name)}</a></li>' for where, name in links)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def _overall(results: Results) -> str:
    parts = []
    if results.cells:
        parts.append(figure(pictures_overall.summary(results), alt.summary(results), pictures_overall.SUMMARY))
    parts += [table(overall_table(results)), _items(notes_on_overall(results), "quiet")]
    profiles = pictures_overall.profile(results)
    if profiles is not None:
        parts.append(figure(profiles, alt.profile(results), pictures_overall.PROFILES))
    return "\n".join(part for part in parts if part)


def _task(results: Results, i: int) -> str:
    task = results.tasks[i]
    parts = [f'<section><h3 id="{_id(i)}">{escape(task.name)}</h3>', f"<p>{escape(about_task(results, task))}</p>"]
    parts += [_pictures(results, task), table(task_table(results, task)), "</section>"]
    return "\n".join(part for part in parts if part)


def _pictures(results: Results, task: TaskInfo) -> str:
    if not any(cell.task == task.name for cell in results.cells):
        return '<p class="quiet">No optimizer ran on it.</p>'
    race = figure(pictures.race(results, task), alt.race(results, task), pictures.RACE)
    basins = figure(pictures.basins(results, task), alt.basins(results, task), pictures.BASINS)
    return f"{race}\n{basins}"


def _again(results: Results) -> str:
    tables = [
        pairs("Settings", ("Setting", "Value"), results.settings),
        pairs("Machine and versions", ("What", "Which"), results.machine),
        sources_table(results),
    ]
    return "\n".join([f"<pre><code>{escape(again(results))}</code></pre>", *map(table, tables)])


def _section(name: str, title: str, content: str) -> list[str]:
    lines = [f'<section aria-labelledby="{name}">', f'<h2 id="{name}">{title}</h2>', content, "</section>"]
    return lines if content.strip() else []


def _items(sentences: Iterable[str], kind: str = "found") -> str:
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="{kind}">\n{items}\n</ul>' if items else ""


def _terms(terms: dict[str, str]) -> str:
    return "\n".join(["<dl>", *(f"<dt>{escape(t)}</dt><dd>{escape(d)}</dd>" for t, d in terms.items()), "</dl>"])


def _id(i: int) -> str:
    return f"task-{i + 1}"


def _key(x: float) -> str:
    """A number as JavaScript reads it; NaN goes to the end."""
    return "Infinity" if x != x or x == float("inf") else repr(float(x))


def _file(name: str) -> str:
    return (importlib.resources.files("gradtx.apps.race") / name).read_text(encoding="utf-8")
