"""The results of a race as data, and as strict JSON, which is read back to the bit.

JSON has no infinity and no NaN: they are the strings "Infinity", "-Infinity" and "NaN", as `float` reads them. Other
floats are read back as the same float64. `VERSION` changes when old readers would misread the file.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from gradtx.apps.race.task import TaskInfo

FORMAT, VERSION = "gradtx race", 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """One optimizer of one library on one task, at all its learning rates and seeds.

    rates: ascending. at: `[evaluations]`, the steps after which scores were taken, first 0. scores: `[rates, seeds,
    evaluations]`, float64; infinite or NaN if the run diverged. seconds_compiling: to trace, lower and compile; 0 for
    torch, which compiles nothing. seconds_running: the steps of all these runs together, without compilation, starts,
    batches and scores.
    """

    task: str
    optimizer: str
    library: str
    rates: np.ndarray
    at: np.ndarray
    scores: np.ndarray
    seconds_compiling: float
    seconds_running: float


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far the updates of two libraries differ along one trajectory, from the same gradients.

    steps: how many updates were compared. If there is none, nothing was shown, which counts as a failure.
    difference: the largest distance of two updates, relative to the largest entry of the update. bound: the race fails
    if the difference is larger, or NaN.
    """

    task: str
    optimizer: str
    library: str
    steps: int
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the two were seen to compute the same."""
        return self.steps > 0 and self.difference <= self.bound

    @property
    def excess(self) -> float:
        """The difference in units of its bound; infinite if it is NaN, or nothing was compared."""
        return math.inf if math.isnan(self.difference) or not self.steps else self.difference / self.bound


@dataclasses.dataclass(frozen=True)
class NotCompared:
    """An optimizer that computes something else in another library under the same name; reason: a sentence."""

    optimizer: str
    library: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Results:
    """A whole race.

    machine: what it ran on, with the versions of the libraries; name -> text. settings: its options; name -> text.
    not_compared: pairs that were left out of the agreements. seconds: wall time, with the parts before an interruption.
    """

    tasks: tuple[TaskInfo, ...]
    cells: tuple[Cell, ...]
    agreements: tuple[Agreement, ...]
    machine: dict[str, str]
    settings: dict[str, str]
    seconds: float
    not_compared: tuple[NotCompared, ...] = ()


_ROWS: dict[str, Any] = {"tasks": TaskInfo, "cells": Cell, "agreements": Agreement, "not_compared": NotCompared}


def to_json(results: Results) -> str:
    """The results as an object with the fields of `Results`, one line for each cell.

    >>> nothing = Results((), (), (), {}, {}, float("inf"))
    >>> json.loads(to_json(nothing))["seconds"], from_json(to_json(nothing)) == nothing
    ('Infinity', True)
    """
    parts = {name: _dump(value) for name, value in head(results, VERSION).items()}
    for name in _ROWS:
        rows = ",\n".join(_dump(to_data(row)) for row in getattr(results, name))
        parts[name] = f"[\n{rows}\n]" if rows else "[]"
    return "{\n" + ",\n".join(f"{_dump(name)}: {text}" for name, text in parts.items()) + "\n}\n"


def head(results: Results, version: Any) -> dict[str, Any]:
    """What is not in rows."""
    of = {"machine": results.machine, "settings": results.settings}
    return {"format": FORMAT, "version": version, "seconds": _plain(results.seconds), **of}


def from_json(text: str) -> Results:
    """The results in a text of `to_json`.

    Raises: ValueError: the text is not JSON, not of a race, or of another version.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f'these are not results of a race: expected an object with "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise ValueError(f"results of version {data.get('version')!r}; this gradtx reads version {VERSION}")
    rows = {name: tuple(from_data(kind, row) for row in data[name]) for name, kind in _ROWS.items()}
    return Results(machine=data["machine"], settings=data["settings"], seconds=float(data["seconds"]), **rows)


def to_data(row: Any) -> dict[str, Any]:
    """A row of the results, such as a `Cell`, as JSON values."""
    return {field.name: _plain(getattr(row, field.name)) for field in dataclasses.fields(row)}


def from_data(kind: type, data: dict[str, Any]) -> Any:
    """The row of this kind that `to_data` converted.

    Raises: ValueError: other fields, or values that are not numbers.
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
    if kind.startswith("Mapping"):
        return {key: {name: float(x) for name, x in each.items()} for key, each in value.items()}
    return tuple(tuple(pair) for pair in value) if kind.startswith("tuple") else value


def _plain(value: Any) -> Any:
    """The value with lists for arrays and tuples, and strings for floats that are not finite."""
    if isinstance(value, np.ndarray):
        return value.tolist() if np.isfinite(value).all() else _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value.item() if isinstance(value, np.generic) else value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
