"""Tables in text."""

from __future__ import annotations

from collections.abc import Container, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> list[str]:
    """Rows of cells as lines, with nothing at their ends: columns are two spaces apart, and stand to the right.

    Args:
        rows: as many cells in each.
        left: the places of the columns that stand to the left.

    Example:
        >>> aligned([("name", "size"), ("b", "10")])
        ['name  size', 'b       10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    places = range(len(widths))
    return [
        "  ".join((str.ljust if k in left else str.rjust)(row[k], widths[k]) for k in places).rstrip() for row in rows
    ]


def dashes(rows: Sequence[Sequence[str]]) -> list[str]:
    """A row that underlines each column of these."""
    return ["-" * max(map(len, column)) for column in zip(*rows, strict=True)]
