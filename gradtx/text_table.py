"""Tables as text."""

from __future__ import annotations

from collections.abc import Container, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> list[str]:
    """Rows of cells as lines without trailing blanks, in columns that are two spaces apart.

    Args:
        rows: each has the same number of cells.
        left: the places of the left-aligned columns; all others are right-aligned.

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
    """A row that underlines the columns of these rows."""
    return ["-" * max(map(len, column)) for column in zip(*rows, strict=True)]


def byte_count(n: int) -> str:
    """A number of bytes in the largest unit that it reaches: 1536 as `1.5 KiB`."""
    size, unit = float(n), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{n} B" if unit == "B" else f"{size:.1f} {unit}"
