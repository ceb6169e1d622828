"""A race written down: the numbers as JSON, Markdown, one HTML page, and the table that the command prints."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from gradtx.apps.race.content import notes_on_overall
from gradtx.apps.race.html import page
from gradtx.apps.race.markdown import markdown
from gradtx.apps.race.results import Results
from gradtx.apps.race.results_json import to_json
from gradtx.apps.race.tables import Table, overall_table
from gradtx.atomic_write import write_whole
from gradtx.text_table import aligned, dashes

NUMBERS, TEXT, PAGE = "results.json", "report.md", "report.html"
HEADING = 17  # letters in a line of a heading


def write(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `results.json`, `report.md` and `report.html` into a folder; each is there whole, or as it was before.

    Args:
        results: of a race.
        folder: made where it is absent.

    Returns:
        The paths, in that order.

    Raises:
        OSError: the folder cannot be made, or written into. MissingExtraError: matplotlib is not installed.
    """
    folder = Path(folder)
    contents = {NUMBERS: to_json(results), TEXT: markdown(results), PAGE: page(results)}  # before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        write_whole(folder / name, text)
    return [folder / name for name in contents]


def summary_table(results: Results) -> str:
    """The table over all tasks as lines for a terminal, and who is not in it and why.

    Args:
        results: of a race.

    Returns:
        The lines; a sentence where there is nothing to compare.
    """
    table = overall_table(results)
    if not table.rows:
        nothing = "There is nothing to compare over tasks: the tables of each task are in the report."
        return "\n".join([nothing, *notes_on_overall(results)])
    return "\n".join([_lines(table), "", *notes_on_overall(results)]).rstrip()


def _lines(table: Table) -> str:
    """Columns, numbers to the right, with headings of as many lines as they need."""
    heads = [textwrap.wrap(heading, HEADING) for heading in table.headings]
    height = max(map(len, heads))
    rows = [[([""] * (height - len(head)) + head)[i] for head in heads] for i in range(height)]
    rows += [[entry.text for entry in row] for row in table.rows]
    rows.insert(height, dashes(rows))
    return "\n".join(aligned(rows))
