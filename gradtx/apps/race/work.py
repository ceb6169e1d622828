"""The pieces of work of a race, in order. Each is stored when it is finished; together they are the results."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradtx.apps.race.agreement import NOT_COMPARED, agreements, compared
from gradtx.apps.race.contenders import COMPARED, LIBRARIES, Contender, grid, is_small
from gradtx.apps.race.engine import Tick, run_cell
from gradtx.apps.race.results import Agreement, Cell, Results, from_data, to_data
from gradtx.apps.race.task import PreparedTask, Task
from gradtx.atomic_write import write_whole

_REPORT = ("findings", "measures", "overall", "pictures", "report", "sections", "tables", "words")
NOT_IN_NUMBERS = (
    *("__main__.py", "apps/cli.py", "apps/interrupt.py", "apps/options.py", "apps/studio"),
    *(
        "checkpoint",
        "compat",
        "testing",
        "writers",
        "apps/race/choice.py",
        "apps/race/cli.py",
        "apps/race/demo.py",
        "apps/race/demo_options.py",
    ),
    *(f"apps/race/{name}.py" for name in _REPORT),
)
"""The parts of gradtx that do not decide the numbers of a race. A change anywhere else runs all work again."""


class Kept(NamedTuple):
    """The rows of the results that one piece of work gave, and its wall time."""

    rows: tuple[Any, ...]
    seconds: float


class Store:
    """A folder with one file for each finished piece of work, so that a race that was stopped can continue.

    Each file appears completely or not at all. It holds a fingerprint of everything that decides the rows in it; a
    file with another fingerprint is not used.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, fingerprint: str, kept: Kept) -> None:
        """Write the rows of a piece of work. After this returns, a crash does not lose them."""
        data = {"fingerprint": fingerprint, "seconds": kept.seconds, "rows": [to_data(row) for row in kept.rows]}
        write_whole(self._path(name), json.dumps(data, allow_nan=False, separators=(",", ":")))

    def find(self, name: str, fingerprint: str, kind: type) -> Kept | str | None:
        """The rows, of this kind, of a piece of work; or why the file is of no use; or None if there is no file."""
        try:
            data = json.loads(self._path(name).read_text(encoding="utf-8"))
            if data["fingerprint"] != fingerprint:
                return "made with other settings, code or versions"
            return Kept(tuple(from_data(kind, row) for row in data["rows"]), float(data["seconds"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # someone changed the file
            return "damaged"

    def clear(self) -> None:
        """Remove all files, including half-written ones of processes that were killed."""
        for path in (*self.folder.glob("*.json"), *self.folder.glob(".*.part")):
            path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace(':', '-')}.json"


@dataclasses.dataclass(frozen=True)
class Work:
    """One optimizer on one task: its trainings, or its comparison with other libraries.

    task, label: as on the command line. kind: `Cell` or `Agreement`, the rows that it gives. name: of its file.
    decides: everything that its numbers depend on. run: does it, and calls its argument from time to time.
    """

    task: str
    label: str
    kind: type
    name: str
    decides: Mapping[str, Any]
    run: Callable[[Tick], Sequence[Any]]

    @property
    def about(self) -> str:
        """The work in words, for a bar."""
        return f"{self.label} on {self.task}" + (", agreement" if self.kind is Agreement else "")


def plan(
    pairs: Sequence[tuple[Contender, Task]], rivals: Sequence[Contender], machine: Mapping[str, str]
) -> list[Work]:
    """The pieces of work, in order: an optimizer of all libraries on each task in turn, then the next optimizer.

    The libraries are timed one right after the other, and take turns in being first, so that a machine that becomes
    slower does not look like a difference of libraries. The updates of gradtx's optimizers are compared with those of
    the rivals, on large tasks only of `COMPARED`, because compiling takes as long as running. Stored results of another
    `this_machine`, or other versions, are not used.
    """
    code = fingerprint_of_code(Path(__file__).parents[2], NOT_IN_NUMBERS)
    prepared = {task.name: functools.cache(functools.partial(PreparedTask, task)) for _, task in pairs}
    groups: dict[str, dict[str, list[tuple[Contender, Task]]]] = {}
    for contender, task in pairs:
        groups.setdefault(contender.name, {}).setdefault(task.name, []).append((contender, task))
    found = []
    for tasks in groups.values():
        turn = 1
        for group in tasks.values():
            comparisons = []  # after the trainings, because these are timed
            for contender, task in group[::turn]:
                ready, rates = prepared[task.name], grid(contender.centre, task.rates)
                known = {"code": code, "task": _facts(task), "contender": _facts(contender)}
                decides = known | {"rates": rates.tolist(), "machine": _without_others(machine, [contender])}
                name, cell = f"{task.name}-{contender.label}", functools.partial(_cell, ready, contender, rates)
                found.append(Work(task.name, contender.label, Cell, name, decides, cell))
                peers = compared(contender, rivals) if contender.name in COMPARED or is_small(task) else []
                if peers:
                    machines = _without_others(machine, [contender, *peers])
                    decides = known | {"peers": [_facts(peer) for peer in peers], "machine": machines}
                    agree = functools.partial(_agreement, ready, contender, peers)
                    name = f"{name}-agreement"
                    comparisons.append(Work(task.name, contender.label, Agreement, name, decides, agree))
            found += comparisons
            turn = -turn if len(group) > 1 else turn
    return found


def do(works: Sequence[Work], store: Store, before: Callable[[int, Work], Tick]) -> Iterator[tuple[Work, Kept, str]]:
    """Do and store the work that is not in the store: each piece, what it gave, and "kept" or "new".

    If the stored file is of no use, the third is a sentence that says why the work was done again. `before` is called
    with the place of each piece that has to be done, and the piece; it returns a function to call while that runs.
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
        yield work, kept, f"{work.about}: the stored result is {there}; done again" if there else "new"


def gather(tasks: Sequence[Task], done: Sequence[tuple[Work, Kept]], compared: bool, **more: Any) -> Results:
    """The results of finished work, in the order of the tasks, then of the libraries, then of the optimizers.

    compared: whether gradtx was compared with the other libraries. more: machine, settings and seconds of `Results`.
    """
    places = {task.name: place for place, task in enumerate(tasks)}

    def rows(kind: type) -> list[Any]:
        found = [row for work, kept in done if work.kind is kind for row in kept.rows]
        return sorted(found, key=lambda row: (places[row.task], kind is Cell and LIBRARIES.index(row.library)))

    cells, infos = rows(Cell), tuple(task.info for task in tasks)
    raced, known = {row.optimizer for row in cells}, more["machine"]
    left_out = tuple(pair for pair in NOT_COMPARED if compared and pair.optimizer in raced and pair.library in known)
    return Results(infos, tuple(cells), tuple(rows(Agreement)), not_compared=left_out, **more)


def this_machine(libraries: Iterable[str]) -> dict[str, str]:
    """Name -> text: processor, usable cores, system, and the versions of Python, JAX, gradtx and these libraries."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(cores),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    packages = dict.fromkeys(("gradtx", "jax", "jaxlib", "numpy", *libraries))
    return found | {package: importlib.metadata.version(package) for package in packages}


def fingerprint(parts: Mapping[str, Any]) -> str:
    """A hash of named numbers, words, and lists and dicts of them; equal if all are equal."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of_code(package: Path, without: Iterable[str]) -> str:
    """A hash of the Python files of a package, except those in these folders and files."""
    digest, left_out = hashlib.sha256(), [package / name for name in without]
    for file in sorted(package.rglob("*.py")):
        if not any(each == file or each in file.parents for each in left_out):
            digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _cell(prepared: Callable[[], PreparedTask], contender: Contender, rates: Any, tick: Tick) -> list[Cell]:
    return [run_cell(prepared(), contender, rates, tick)]


def _agreement(prepared: Callable[[], PreparedTask], ours: Contender, peers: Any, tick: Tick) -> list[Agreement]:
    return agreements(prepared(), ours, peers)


def _facts(of: Task | Contender) -> dict[str, Any]:
    """What decides the numbers, besides the code."""
    names = ("name", "library", "steps", "every", "seeds", "sources", "hyperparameters", "centre")
    return {name: getattr(of, name) for name in names if hasattr(of, name)}


def _without_others(machine: Mapping[str, str], contenders: Sequence[Contender]) -> dict[str, str]:
    """The machine, without the versions of other libraries than these contenders'."""
    own = {contender.library for contender in contenders}
    return {name: text for name, text in machine.items() if name not in LIBRARIES or name in own | {"gradtx"}}
