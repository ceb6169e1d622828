"""A race written to disk: its numbers as JSON, its report as Markdown and as one HTML page with pictures."""

from __future__ import annotations

import base64
import importlib.resources
import io
import json
import os
import re
from html import escape
from pathlib import Path
from typing import Any

from gradtx.apps.race import sections as of
from gradtx.apps.race.measures import Standing, standings
from gradtx.apps.race.results import Results, head, to_data, to_json
from gradtx.apps.race.sections import TITLE, Section, captioned, rows, sections, summary
from gradtx.apps.race.tables import Table
from gradtx.atomic_write import write_whole
from gradtx.optional_imports import extra

NUMBERS, TEXT, PAGE = "results.json", "report.md", "report.html"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `results.json`, `report.md` and `report.html` into a folder, each completely or not at all.

    The folder is made if it does not exist. Returns: the paths, in that order.
    Raises: OSError: the folder cannot be made or written into. MissingExtraError: a package is not installed.
    """
    folder = Path(folder)
    contents = {NUMBERS: to_json(results), TEXT: as_markdown(results), PAGE: page(results)}  # all before the first file
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        write_whole(folder / name, text)
    return [folder / name for name in contents]


def as_markdown(results: Results) -> str:
    """The report without pictures; equal results give the same text."""
    parts = [f"# {TITLE}", of.escape(summary(results))]
    for section in sections(results):
        parts.append(f"{'#' * section.level} {of.escape(section.title)}")
        texts = (captioned(b) if isinstance(b, Table) else b for b in section.blocks)
        parts += [text for text in texts if isinstance(text, str)]
    return "\n\n".join(parts) + "\n"


def page(results: Results) -> str:
    """The report as one HTML file, with pictures. It fetches nothing, and works without JavaScript.

    The numbers in it are also there as JSON, in the script element `results`. Equal results give the same text.

    Raises: MissingExtraError: matplotlib or markdown-it-py is not installed.
    """
    with extra("race"):
        from markdown_it import MarkdownIt
    parser, shown = MarkdownIt("commonmark", {"html": False}).enable("table"), sections(results)
    links = "".join(f'<li><a href="#{each.name}">{escape(each.link)}</a></li>' for each in shown if each.link)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{TITLE}: gradtx</title>",
            f"<style>\n{_file('report.css')}</style>\n</head>\n<body>\n<main>",
            f'<h1>{TITLE}</h1>\n<p class="lead">{escape(summary(results))}</p>',
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
            *(_section(each, parser) for each in shown),
            f'</main>\n<script type="application/json" id="results">\n{numbers_shown(results)}\n</script>',
            f"<script>\n{_file('report.js')}</script>\n</body>\n</html>\n",
        ]
    )


def numbers_shown(results: Results) -> str:
    """The numbers of the page as strict JSON that cannot end a script element.

    Of each cell it has all final scores, the curves at the best rate, and the measures. `results.json` has the curves
    at all rates, which for a full race are many megabytes. What is not finite is a string; a missing index is null.
    """
    data = head(results, "as shown")
    data["tasks"] = [to_data(task) for task in results.tasks]
    data["cells"] = [_numbers_of(s) for task in results.tasks for s in standings(results, task)]
    data["agreements"] = [to_data(agreement) for agreement in results.agreements]
    data["not_compared"] = [to_data(pair) for pair in results.not_compared]
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # only strings have it


def _numbers_of(s: Standing) -> dict[str, Any]:
    cell, measures = to_data(s.cell), to_data(s)
    scores, _ = cell.pop("scores"), measures.pop("cell")
    ends = [[run[-1] for run in runs] for runs in scores]
    return {**cell, "final_scores": ends, "best_scores": None if s.best is None else scores[s.best], **measures}


def svg(drawn: Any) -> bytes:
    """A Figure as SVG, the same bytes each time: two decimals of a point are enough, and halve the size."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "gradtx"}):
        drawn.savefig(file, format="svg", metadata={"Creator": "gradtx", "Date": None})
    text = re.sub(r"\b([1-9]\d*\.\d\d)\d{4}\b", r"\1", file.getvalue())
    return re.sub(r"\s+", " ", text).replace("> <", "><").encode()


def _section(section: Section, parser: Any) -> str:
    heading = f'<h{section.level} id="{section.name}">{escape(section.title)}</h{section.level}>'
    lines = [f'<section aria-labelledby="{section.name}">', heading]
    for block in section.blocks:
        if isinstance(block, str):
            lines.append(parser.render(block))
        elif isinstance(block, Table):
            lines.append(_table(block, parser))
        else:
            data, caption = base64.b64encode(svg(block.draw())).decode(), escape(block.caption)
            image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(block.alt())}">'
            lines.append(f'<figure><div class="wide">{image}</div><figcaption>{caption}</figcaption></figure>')
    return "\n".join([*lines, "</section>"])


def _table(table: Table, parser: Any) -> str:
    """A table with its caption; headings say what they head, and the first cell of a row heads the row."""
    tokens = parser.parse(rows(table))
    for before, opening, _, closing in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if opening.type == "th_open":
            opening.attrSet("scope", "col")
        if before.type == "tr_open" and opening.type == "td_open":
            opening.tag = closing.tag = "th"
            opening.attrSet("scope", "row")
    caption = escape(table.caption)
    text = parser.renderer.render(tokens, parser.options, {})
    text = text.replace("<table>", f'<table class="sorts"><caption>{caption}</caption>', 1)
    return f'<div class="wide" role="region" tabindex="0" aria-label="{caption}">{text}</div>'


def _file(name: str) -> str:
    return (importlib.resources.files("gradtx.apps.race") / name).read_text(encoding="utf-8")
