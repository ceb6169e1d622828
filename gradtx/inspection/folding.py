"""Rows of a table that differ only in the number of a layer, as one row."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

LEAST = 4  # so many rows are worth folding
_NUMBERED = re.compile(r"(.*?[^0-9.]|)(0|[1-9][0-9]*)")  # no 01, and no 0..3


def folded(names: Sequence[str], kinds: Sequence[Hashable]) -> list[tuple[str, list[int]]]:
    """Each row of the shorter table: its name, and the places of the rows that it stands for.

    Rows are put together if they are of one kind and if their names are equal but for a number at the end of one part,
    which takes all values of a range of at least four.

    Args:
        names: paths, such as `layers/0/w`.
        kinds: what rows must have in common.

    Example:
        >>> folded(["embed", "layers/0/w", "layers/1/w", "layers/2/w", "layers/3/w"], "abbbb")
        [('embed', [0]), ('layers/0..3/w', [1, 2, 3, 4])]
    """
    rows = [(tuple(name.split("/")), kind, [k]) for k, (name, kind) in enumerate(zip(names, kinds, strict=True))]
    for place in range(max((len(parts) for parts, _, _ in rows), default=0)):
        rows = _at(place, rows)
    return [("/".join(parts), places) for parts, _, places in sorted(rows, key=lambda row: min(row[2]))]


def _at(place: int, rows: list) -> list:
    """The rows, folded where the part at this place is all in which they differ."""
    out, groups = [], {}
    for row in rows:
        parts, kind, places = row
        numbered = _NUMBERED.fullmatch(parts[place]) if place < len(parts) else None
        if numbered is None:
            out.append(row)
            continue
        key = (parts[:place], numbered[1], parts[place + 1 :], kind, len(places))
        groups.setdefault(key, []).append((int(numbered[2]), row))
    for (before, word, after, kind, _), group in groups.items():
        run: list = []
        for number, row in [*sorted(group, key=lambda pair: pair[0]), (None, None)]:
            if run and number != run[-1][0] + 1:
                if len(run) < LEAST:
                    out += [row for _, row in run]
                else:
                    part = f"{word}{run[0][0]}..{run[-1][0]}"
                    out.append(((*before, part, *after), kind, [k for _, (_, _, own) in run for k in own]))
                run = []
            run.append((number, row))
    return out
