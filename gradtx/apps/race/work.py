"""The pieces of work of a race, in order, each of which is kept when it is done."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradtx.apps.race.agreement import agreements, compared
from gradtx.apps.race.contenders import BESIDE, LIBRARIES, Contender, grid, is_small
from gradtx.apps.race.course import Course
from gradtx.apps.race.engine import Tick, run_cell
from gradtx.apps.race.results import Agreement, Cell
from gradtx.apps.race.store import Kept, Store, fingerprint, fingerprint_of_code
from gradtx.apps.race.task import Task

CODE = (
    *("core", "transforms", "schedules", "wrappers", "optimizers", "apps/race/tasks"),
    *("optional_imports.py", "sweep.py"),
    *(f"apps/demo/{name}.py" for name in ("contenders", "data", "network", "train")),
    *(f"apps/race/{name}.py" for name in ("agreement", "contenders", "course", "engine", "results", "task")),
    "apps/race/torch_engine.py",
)
"""What of gradtx decides the numbers: all that the training and the comparison import."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One optimizer on one task: to be trained, or to be compared with other libraries.

    task, label: of what, as the command calls them. kind: of the rows that it gives. name: of its file.
    decides: everything that its numbers depend on. run: does it, and calls what it is given now and then.
    """

    task: str
    label: str
    kind: type
    name: str
    decides: Mapping[str, Any]
    run: Callable[[Tick], Sequence[Any]]

    @property
    def about(self) -> str:
        """What is being done, for a bar."""
        return f"{self.label} on {self.task}" + (", agreement" if self.kind is Agreement else "")


def plan(
    pairs: Sequence[tuple[Contender, Task]], rivals: Sequence[Contender], machine: Mapping[str, str]
) -> list[Work]:
    """What is to be done: an optimizer of all libraries on one task, then on the next; then the next optimizer.

    Libraries are timed right beside each other, and who goes first alternates from task to task, so that a machine that
    becomes slower does not look like a difference of libraries.

    Args:
        pairs: who races on what; the optimizers in this order.
        rivals: contenders of other libraries, with which those of gradtx are compared; none for no comparison. On large
            tasks only a few are, whose updates compile for as long as they run.
        machine: on which all this runs, and with which versions; results from another are of no use.
    """
    code = fingerprint_of_code(Path(__file__).parents[2], CODE)
    courses = {task.name: functools.cache(functools.partial(Course, task)) for _, task in pairs}
    found = []
    for group in _beside_each_other(pairs):
        comparisons = []  # after the trainings, which are timed
        for contender, task in group:
            course, rates = courses[task.name], grid(contender.centre, task.rates)
            known = {"code": code, "task": _facts(task), "contender": _facts(contender)}
            name = f"{task.name}-{contender.label}"
            cell = functools.partial(_cell, course, contender, rates)
            decides = known | {"rates": rates.tolist(), "machine": _without_others(machine, [contender])}
            found.append(Work(task.name, contender.label, Cell, name, decides, cell))
            peers = compared(contender, rivals) if contender.name in BESIDE or is_small(task) else []
            if peers:
                agree = functools.partial(_agreement, course, contender, peers)
                machines = _without_others(machine, [contender, *peers])
                decides = known | {"peers": [_facts(peer) for peer in peers], "machine": machines}
                comparisons.append(Work(task.name, contender.label, Agreement, f"{name}-agreement", decides, agree))
        found += comparisons
    return found


def _beside_each_other(pairs: Sequence[tuple[Contender, Task]]) -> Iterator[list[tuple[Contender, Task]]]:
    """The pairs of one optimizer on one task; of several libraries, in reverse on every other task that has several."""
    groups: dict[str, dict[str, list[tuple[Contender, Task]]]] = {}
    for contender, task in pairs:
        groups.setdefault(contender.name, {}).setdefault(task.name, []).append((contender, task))
    for tasks in groups.values():
        turn = 1
        for group in tasks.values():
            yield group[::turn]
            turn = -turn if len(group) > 1 else turn


def do(works: Sequence[Work], store: Store, before: Callable[[int, Work], Tick]) -> Iterator[tuple[Work, Kept, str]]:
    """Do what has not been done, and keep it; of each: what it gave, and whether it was "kept" or is "new".

    Where something was there that is of no use, the third is a sentence on why it was done again.

    Args:
        works: in this order.
        store: what was done before, and will have been.
        before: called with the place of each that is to be done; returns what it is to call now and then.
    """
    for place, work in enumerate(works):
        mark = fingerprint(work.decides)
        there = store.find(work.name, mark, work.kind)
        if isinstance(there, Kept):
            yield work, there, "kept"
            continue
        tick, started = before(place, work), time.perf_counter()
        rows = tuple(work.run(tick))
        kept = Kept(rows, time.perf_counter() - started)
        store.keep(work.name, mark, kept)
        yield work, kept, f"{work.about}: what was kept is {there}; done again" if there else "new"


def _cell(course: Callable[[], Course], contender: Contender, rates: Any, tick: Tick) -> list[Cell]:
    return [run_cell(course(), contender, rates, tick)]


def _agreement(course: Callable[[], Course], ours: Contender, peers: list[Contender], tick: Tick) -> list[Agreement]:
    return agreements(course(), ours, peers)


def _facts(of: Task | Contender) -> dict[str, Any]:
    """What decides the numbers, beside code and data that has a fingerprint."""
    names = ("name", "library", "steps", "every", "seeds", "sources", "hyperparameters", "centre")
    return {name: getattr(of, name) for name in names if hasattr(of, name)}


def _without_others(machine: Mapping[str, str], contenders: Sequence[Contender]) -> dict[str, str]:
    """The machine, with the versions of these contenders' libraries and not of others."""
    own = {contender.library for contender in contenders}
    return {name: text for name, text in machine.items() if name not in LIBRARIES or name in own | {"gradtx"}}
