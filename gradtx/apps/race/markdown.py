"""A race as Markdown: tables that are read in a terminal, a pull request or a page."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
from gradtx.apps.race.findings import findings
from gradtx.apps.race.results import Results
from gradtx.apps.race.tables import Table, about_task, agreement_table, libraries_table, overall_table, task_table


def markdown(results: Results) -> str:
    """The whole report as Markdown, without pictures: findings, tables, how it was measured, what it does not show.

    Args:
        results: of a race.

    Returns:
        The text; the same for equal results.
    """
    parts = ["# A race of optimizers", text(summary(results))]
    parts += ["## What was found", listed(findings(results))]
    parts += ["## Over all tasks", table(overall_table(results)), listed(notes_on_overall(results))]
    parts += ["## Task by task"]
    for task in results.tasks:
        parts += [f"### {text(task.name)}", text(about_task(results, task)), table(task_table(results, task))]
    parts += ["## Beside other libraries", table(libraries_table(results)), table(agreement_table(results))]
    parts += [table(not_compared_table(results))]
    parts += ["## How it was measured", "\n\n".join(f"**{term}.** {text(what)}" for term, what in HOW.items())]
    parts += ["## What it does not show", listed(LIMITS)]
    parts += ["## To run it again", code(again(results))]
    parts += [table(pairs("Settings", ("Setting", "Value"), results.settings))]
    parts += [table(pairs("Machine and versions", ("What", "Which"), results.machine))]
    parts += [table(sources_table(results))]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(content: Table) -> str:
    """A table as Markdown: the caption in bold, numbers to the right; nothing where it has no rows."""
    if not content.rows:
        return ""
    numeric = [all(row[i].key is not None for row in content.rows) for i in range(len(content.headings))]
    lines = [f"**{text(content.caption)}**", "", _line(map(text, content.headings))]
    lines += [_line("---:" if right else "---" for right in numeric)]
    lines += [_line(text(entry.text) for entry in row) for row in content.rows]
    return "\n".join(lines)


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"* {text(sentence)}" for sentence in sentences)


def text(words: str) -> str:
    """Words in which nothing is markup, on one line.

    Example:
        >>> print(text("a|b *c* <d> x_1"))
        a\\|b \\*c\\* &lt;d&gt; x_1
    """
    words = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = re.sub(r"([\\`*|\[\]])", r"\\\1", words)
    words = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", words)  # within a word it is only an underscore
    words = re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", words)  # nor begins a list
    return re.sub(r"^([#+-])(?=\s)", r"\\\1", words)


def code(line: str) -> str:
    """A line in a fence that nothing in it can close."""
    runs = re.findall("`+", line)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{fence}bash\n{line}\n{fence}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
