"""The options of `python -m gradtx race`, and the optimizers and tasks that they choose."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gradtx.apps.options import at_least_one, names_of
from gradtx.apps.race.contenders import COMPARED, LIBRARIES, SMALL, Contender, contenders, installed, is_small
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import TASKS, quick, task
from gradtx.catalog import OPTIMIZERS

QUICK_TASKS = ("bowl", "rosenbrock", "reddi", "breast_cancer", "digits", "bigram")
QUICK = (*(name for name, (_, setting) in OPTIMIZERS.items() if setting.quick), "optax:adam", "torch:adam")
QUICK_ON_LARGE = ("momentum", "adam", "optax:adam")
QUICK_SEEDS = 4


class Choice(NamedTuple):
    """pairs: each contender with each of its tasks, contender by contender. rivals: optimizers of other libraries, to
    compare gradtx's with. notes: sentences about what is left out."""

    pairs: list[tuple[Contender, Task]]
    rivals: list[Contender]
    notes: list[str]

    @property
    def contenders(self) -> list[Contender]:
        """Each once."""
        return list({contender.label: contender for contender, _ in self.pairs}.values())

    @property
    def tasks(self) -> list[Task]:
        """Each once, in the order of `TASKS`, then a user's own."""
        found, order = {task.name: task for _, task in self.pairs}, {name: k for k, name in enumerate(TASKS)}
        return [found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))]


def race_parser() -> argparse.ArgumentParser:
    """The options of the race."""
    parser = argparse.ArgumentParser(
        prog="python -m gradtx race",
        allow_abbrev=False,
        description="Race optimizers on seeded tasks that need no download. All have the same starts, the same batches "
        "and as many learning rates. Finished work is stored in FOLDER/cells; a race that was stopped continues there.",
        epilog="Exit code: 0; 1 if libraries disagree on an algorithm that they share; 2 for wrong options; 130 after "
        "Ctrl-C.",
    )
    add, known = parser.add_argument, contenders()
    optimizers = [*known, *(f"gradtx:{name}" for name in known if ":" not in name)]
    several = {"nargs": "+", "metavar": "NAME"}

    def names(what: str, of: Iterable[str]) -> dict:
        return {**several, "type": functools.partial(names_of, what=what, known=of)}

    add("--quick", action="store_true", help="a minute: fewer optimizers, rates, seeds and steps")
    add("--tasks", **names("task", TASKS), help="names separated by commas or spaces; see --list")
    words = "adam,optax:adam,torch:adam; without a library, of all in --libraries, or of gradtx; see --list"
    add("--optimizers", **names("optimizer", optimizers), help=words)
    add("--libraries", **names("library", LIBRARIES), help=f"of {', '.join(LIBRARIES)}; default: all")
    add("--seeds", type=at_least_one, metavar="N", help="starts at each rate; default: depends on the task")
    add("--rates", type=at_least_one, metavar="N", help="learning rates of each optimizer; default: likewise")
    add("--output", type=Path, default=Path("gradtx-race"), metavar="FOLDER", help="default: %(default)s")
    add("--list", action="store_true", help="show the tasks and the optimizers, and stop")
    add("--fresh", action="store_true", help="do stored work again")
    add(
        "--agreement",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare updates with those of the other libraries; default: yes, on tasks with more than "
        f"{SMALL:,} parameters only those of {', '.join(COMPARED)}",
    )
    return parser


def listing() -> str:
    """The tasks, one a line, and the optimizers of each library."""
    lines = ["Tasks:"]
    lines += [f"  {name:<16} {(make.__doc__ or '').strip().splitlines()[0]}" for name, make in TASKS.items()]
    for library in LIBRARIES:
        lines.append(f"Optimizers of {library}{'' if installed(library) else ' (not installed)'}:")
        for contender in contenders().values():
            if contender.library == library:
                note = ", full batches only" if contender.full_batch else ""
                lines.append(f"  {contender.label:<16} rates around {contender.centre:g}{note}")
    return "\n".join(lines)


def choose(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Choice:
    """The tasks and contenders that the options ask for; an error if nothing is left, or a library is missing."""
    known, words, asked = contenders(), _flat(options.optimizers), _flat(options.libraries)
    picked = [known[label] for label in _labels(parser, known, words, asked)]
    absent = [library for library in LIBRARIES if not installed(library)]
    for library in absent:
        if library in asked or any(word.startswith(f"{library}:") for word in words):
            parser.error(f"{library} is not installed: pip install {library}, or leave it out")
    missing = {contender.library for contender in picked} & {*absent}
    picked = [contender for contender in picked if contender.library not in missing]
    notes = [f"{library} is not installed, and left out" for library in absent if library in missing]
    tasks = [_sized(task(name), options) for name in _flat(options.tasks) or (QUICK_TASKS if options.quick else TASKS)]
    pairs = [(contender, task) for contender in picked for task in tasks]
    if not words and options.quick:
        on = {task.name: QUICK if is_small(task) else QUICK_ON_LARGE for task in tasks}
        pairs = [(contender, task) for contender, task in pairs if contender.label in on[task.name]]
    elif not words and not asked:
        pairs = [(contender, task) for contender, task in pairs if contender.by_default(task)]
        few = f"of optax on tasks with more than {SMALL:,} parameters, and of torch, only {', '.join(COMPARED)}"
        notes.append(f"{few} race by default")
    notes += _absences(pairs)
    pairs = [(contender, task) for contender, task in pairs if contender.absence(task) is None]
    if not pairs:
        parser.error(f"nothing is left to race: {'; '.join(notes) or 'see --list'}")
    rivals = [c for c in known.values() if c.library not in ("gradtx", *absent) and c.library in (asked or LIBRARIES)]
    return Choice(pairs, rivals if options.agreement else [], notes)


def _labels(
    parser: argparse.ArgumentParser, known: Iterable[str], words: Sequence[str], libraries: Sequence[str]
) -> list[str]:
    """The labels that are asked for. A name without a library means all libraries that are asked for, or gradtx."""
    split = {label: (label.rpartition(":")[0] or "gradtx", label.rpartition(":")[2]) for label in known}
    if not words:
        return [label for label, (library, _) in split.items() if library in (libraries or LIBRARIES)]
    labels: list[str] = []
    for word in words:
        prefix, _, name = word.rpartition(":")
        of = [prefix] if prefix else libraries or ["gradtx"]
        there = [label for label, (library, own) in split.items() if library in of and own == name]
        if not there:
            parser.error(f"argument --optimizers: there is no {name!r} in {', '.join(of)}; --list shows them")
        labels += there
    return list(dict.fromkeys(labels))


def _sized(task: Task, options: argparse.Namespace) -> Task:
    """The task with as many steps, rates and seeds as the options ask for."""
    if options.quick:
        task = quick(task)
        task = dataclasses.replace(task, seeds=min(task.seeds, QUICK_SEEDS))
    return dataclasses.replace(task, seeds=options.seeds or task.seeds, rates=options.rates or task.rates)


def _absences(pairs: Iterable[tuple[Contender, Task]]) -> list[str]:
    """A sentence for each reason why optimizers do not run on tasks."""
    found: dict[tuple[str, str], list[str]] = {}
    for contender, each in pairs:
        if reason := contender.absence(each):
            found.setdefault((each.name, reason), []).append(contender.label)
    grouped: dict[tuple[str, str], list[str]] = {}
    for (name, reason), labels in found.items():
        grouped.setdefault((", ".join(labels), reason), []).append(name)
    return [f"left out: {labels} on {', '.join(names)}: {reason}" for (labels, reason), names in grouped.items()]


def _flat(groups: Sequence[Sequence[str]] | None) -> list[str]:
    return list(dict.fromkeys(word for group in groups or () for word in group))
