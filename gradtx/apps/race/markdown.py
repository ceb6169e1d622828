"""Text, lists, tables and code as Markdown, in which no name is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gradtx.apps.race.tables import Table


def escape(words: str) -> str:
    """Words on one line, without markup.

    Example:
        >>> print(escape("a|b *c* <d> x_1"))
        a\\|b \\*c\\* &lt;d&gt; x_1
    """
    words = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = re.sub(r"([\\`*|\[\]])", r"\\\1", words)
    words = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", words)  # inside of a word an underscore is no markup
    words = re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", words)  # nor begins a list
    return re.sub(r"^([#+-])(?=\s)", r"\\\1", words)


def items(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "\n".join(f"* {escape(sentence)}" for sentence in sentences)


def rows(table: Table) -> str:
    """The headings and rows of a table, numbers right-aligned."""
    rules = ["---" if k in table.words else "---:" for k in range(len(table.headings))]
    lines = [map(escape, table.headings), rules, *(map(escape, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def captioned(table: Table) -> str:
    """A table with its caption in bold; empty if it has no rows."""
    return f"**{escape(table.caption)}**\n\n{rows(table)}" if table.rows else ""


def code(line: str) -> str:
    """A shell command in a fence that nothing in it can close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}bash\n{line}\n{fence}"
