"""The short table that a race ends with: the best optimizer on each task."""

from __future__ import annotations

import math

from gradtx.apps.race.measures import Standing, standings
from gradtx.apps.race.overall import one_of_each
from gradtx.apps.race.results import Results
from gradtx.text_table import aligned

HEADINGS = ("task", "lowest at the end", "rate", "above the bound", "first at the target", "rate", "steps")


def best_of_each(results: Results) -> str:
    """A table in text: on each task, which optimizer ended lowest, and which reached the target in the fewest steps.

    Medians over seeds, each at its best rate; an optimizer of several libraries is there once.
    """
    rows = [HEADINGS, *(_row(results, place) for place in range(len(results.tasks)))]
    head, *lines = aligned(rows, left={0, 1, 4})
    return "\n".join([head, "-" * len(head), *lines])


def _row(results: Results, place: int) -> tuple[str, ...]:
    task = results.tasks[place]
    found = list(one_of_each(standings(results, task)).values())
    name, rate, final = "all diverged" if found else "nobody ran", "", ""
    if found and found[0].best is not None:
        name, rate, final = found[0].cell.optimizer, _rate(found[0], found[0].best), f"{found[0].final.median:.2g}"
    first = min(found, key=lambda s: (s.steps, s.final.median), default=None)
    if first is None or first.fastest is None or not math.isfinite(first.steps):
        return task.name, name, rate, final, "nobody", "", ""
    return task.name, name, rate, final, first.cell.optimizer, _rate(first, first.fastest), f"{first.steps:,.0f}"


def _rate(standing: Standing, place: int) -> str:
    return f"{standing.cell.rates[place]:g}"
