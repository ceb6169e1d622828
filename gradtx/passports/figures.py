"""The figures that were measured, from the one file that has them. It is read when it is first asked for."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

NAME = "figures.json"


@functools.cache
def figures() -> Mapping[str, Any]:
    """The whole file.

    versions: library -> the version with which it was made. tasks, trials: what they are, by name. entries: factory ->
    its figures, each as its field of `Passport` says; numbers that are not finite are words, as `float` reads them.
    """
    return json.loads(files("gradtx.passports").joinpath(NAME).read_text(encoding="utf-8"))


class Raced(NamedTuple):
    """How a recipe did on a task of the race, over all its learning rates.

    steps: the fewest after which half of the seeds had reached the target; infinite if no rate did. at: the rate of
        that, or None. score: the lowest median score at the end, above the lowest possible one. rate: of that.
    place: 1 for the fewest steps of all recipes, as many as are equal; None if the target was not reached. of: how many
        recipes ran. winners: those with the fewest steps.
    """

    steps: float
    at: float | None
    score: float
    rate: float | None
    place: int | None
    of: int
    winners: tuple[str, ...]

    @property
    def won(self) -> bool:
        """Whether no recipe needed fewer steps to the target."""
        return self.place == 1

    @property
    def failed(self) -> bool:
        """Whether no learning rate reached the target."""
        return self.place is None


def raced(name: str) -> dict[str, Raced]:
    """How a recipe did on each task on which it ran."""
    found, entries = {}, figures()["entries"]
    for task, (steps, at, score, rate) in entries[name].get("race", {}).items():
        others = {other: float(entry["race"][task][0]) for other, entry in entries.items() if task in _tasks(entry)}
        least, own = min(others.values()), float(steps)
        place = 1 + sum(other < own for other in others.values()) if math.isfinite(own) else None
        winners = tuple(other for other, of_it in others.items() if of_it == least and math.isfinite(least))
        found[task] = Raced(own, at, float(score), rate, place, len(others), winners)
    return found


def _tasks(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry.get("race", {})
