"""The numbers inside the page: all that it shows, for programs, without the curves that it does not show."""

from __future__ import annotations

import json
from typing import Any

from gradtx.apps.race.measures import Standing, standings
from gradtx.apps.race.results import Results
from gradtx.apps.race.results_json import to_data


def embedded(results: Results) -> str:
    """The results as JSON for a page: of each cell all final scores, the curves at its best rate, and its measures.

    `results.json` has all curves at all rates, which for a full race is many megabytes. What is not finite is a
    string, as there; an index that there is none of is null.

    Returns:
        Strict JSON in which no text can end the element it is in.

    Example:
        >>> json.loads(embedded(Results((), (), (), {}, {}, 1.0)))["seconds"]
        1.0
    """
    data = {
        "format": "gradtx race, as shown",
        "machine": results.machine,
        "settings": results.settings,
        "seconds": results.seconds,
        "tasks": [to_data(task) for task in results.tasks],
        "cells": [_cell(s) for task in results.tasks for s in standings(results, task)],
        "agreements": [to_data(agreement) for agreement in results.agreements],
        "not_compared": [to_data(pair) for pair in results.not_compared],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # which only strings have


def _cell(s: Standing) -> dict[str, Any]:
    whole = to_data(s.cell)
    scores = whole.pop("scores")
    return {
        **whole,
        "final_scores": [[run[-1] for run in runs] for runs in scores],
        "best": s.best,
        "best_scores": None if s.best is None else scores[s.best],
        "fastest": s.fastest,
        "steps_to_target": None if s.fastest is None else s.steps,
        "seconds_to_target": None if s.fastest is None else s.seconds,
        "seconds_to_target_with_compilation": None if s.fastest is None else s.compiled,
        "decades": s.decades,
        "decades_at_least": s.open,
    }
