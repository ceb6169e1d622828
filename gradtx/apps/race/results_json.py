"""Results as text and back: strict JSON, to the bit.

Numbers that JSON has not are strings, "Infinity", "-Infinity" and "NaN", as `float` reads them. All others are written
so that they are read back as the same float64. `version` changes where a reader of the old form would be wrong.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from gradtx.apps.race.results import Agreement, Cell, NotCompared, Results, TaskInfo

FORMAT, VERSION = "gradtx race", 1


def to_json(results: Results) -> str:
    """The text of results: an object with the fields of `Results`, one line for each cell.

    Example:
        >>> nothing = Results((), (), (), {}, {}, float("inf"))
        >>> json.loads(to_json(nothing))["seconds"], from_json(to_json(nothing)) == nothing
        ('Infinity', True)
    """
    rows = {
        field.name: [to_data(row) for row in getattr(results, field.name)]
        for field in dataclasses.fields(results)
        if field.name in _ROWS
    }
    head = {"format": FORMAT, "version": VERSION, "seconds": _plain(results.seconds)}
    head |= {"machine": results.machine, "settings": results.settings}
    parts = [f"{_dump(name)}: {_dump(value)}" for name, value in head.items()]
    parts += [f"{_dump(name)}: [{_lines(each)}]" for name, each in rows.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def from_json(text: str) -> Results:
    """The results in a text that `to_json` wrote.

    Raises:
        ValueError: what is not JSON, not of a race, or of another version.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f'this is not of a race: expected an object with "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise ValueError(f"results of version {data.get('version')!r}; this gradtx reads version {VERSION}")
    rows = {name: tuple(from_data(kind, row) for row in data[name]) for name, kind in _ROWS.items()}
    return Results(machine=data["machine"], settings=data["settings"], seconds=float(data["seconds"]), **rows)


_ROWS: dict[str, Any] = {"tasks": TaskInfo, "cells": Cell, "agreements": Agreement, "not_compared": NotCompared}


def to_data(row: Any) -> dict[str, Any]:
    """A cell, or another row of results, as what JSON has."""
    return {field.name: _plain(getattr(row, field.name)) for field in dataclasses.fields(row)}


def from_data(kind: type, data: dict[str, Any]) -> Any:
    """The row of this kind that `to_data` made this of.

    Raises:
        ValueError: other fields than it has, or numbers that are none.
    """
    kinds = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    if not isinstance(data, dict) or set(data) != set(kinds):
        got = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"a {kind.__name__} has the fields {', '.join(kinds)}; got {got}")
    return kind(**{name: _typed(kinds[name], name, value) for name, value in data.items()})


def _typed(kind: str, name: str, value: Any) -> Any:
    if kind == "np.ndarray":
        return np.array(value, np.int64 if name == "at" else np.float64)
    if kind == "float":
        return float(value)
    if kind.startswith("dict"):
        return {key: {name: float(x) for name, x in each.items()} for key, each in value.items()}
    return tuple(tuple(pair) for pair in value) if kind.startswith("tuple") else value


def _plain(value: Any) -> Any:
    """Arrays and tuples as lists, and what is not finite as a string."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return _plain(value.tolist())
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value.item() if isinstance(value, np.generic) else value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _lines(rows: list[dict[str, Any]]) -> str:
    return "\n" + ",\n".join(map(_dump, rows)) + "\n" if rows else ""
