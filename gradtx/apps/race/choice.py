"""The options of `python -m gradtx race`, and what they choose."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gradtx.apps.options import at_least_one, wrong
from gradtx.apps.race.contenders import BESIDE, LIBRARIES, SMALL, Contender, contenders, installed, is_small
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.registry import TASKS, quick, task
from gradtx.core.errors import suggestion

QUICK_TASKS = ("bowl", "rosenbrock", "reddi", "breast_cancer", "digits", "bigram")
QUICK = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "lion", "optax:adam", "torch:adam")
QUICK_ON_LARGE = ("momentum", "adam", "optax:adam")
QUICK_SEEDS = 4


class Choice(NamedTuple):
    """What is raced.

    pairs: each contender on each task that it runs on, contender by contender, and the tasks in their order.
    rivals: what those of gradtx are compared with. notes: what is to be said beforehand.
    """

    pairs: list[tuple[Contender, Task]]
    rivals: list[Contender]
    notes: list[str]

    @property
    def contenders(self) -> list[Contender]:
        """Each once."""
        return list({contender.label: contender for contender, _ in self.pairs}.values())

    @property
    def tasks(self) -> list[Task]:
        """Each once, in the order of the registry; then those that are not in it, as they come."""
        found, order = {task.name: task for _, task in self.pairs}, {name: k for k, name in enumerate(TASKS)}
        return [found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))]


def race_parser() -> argparse.ArgumentParser:
    """The options of the race."""
    parser = argparse.ArgumentParser(
        prog="python -m gradtx race",
        allow_abbrev=False,
        description="Race optimizers on seeded tasks that need no download: the same starts, the same batches, as many "
        "learning rates for each. What is done is kept in FOLDER/cells; a race that was stopped goes on from there.",
        epilog="Exit code: 0; 1 where an algorithm that libraries share does not agree; 2 for wrong options; 130 after "
        "Ctrl-C.",
    )
    parser.add_argument("--quick", action="store_true", help="a minute: fewer optimizers, rates, seeds and steps")
    parser.add_argument("--tasks", nargs="+", type=_tasks, metavar="NAME", help="apart by commas or spaces; see --list")
    parser.add_argument(
        "--optimizers",
        nargs="+",
        type=_optimizers,
        metavar="NAME",
        help="apart by commas or spaces: adam,optax:adam,torch:adam; without a library, of all in --libraries, or of "
        "gradtx; see --list",
    )
    parser.add_argument(
        "--libraries", nargs="+", type=_libraries, metavar="NAME", help=f"of {', '.join(LIBRARIES)}; default: all"
    )
    parser.add_argument(
        "--seeds", type=at_least_one, metavar="N", help="starts at each rate; default: as the task says"
    )
    parser.add_argument("--rates", type=at_least_one, metavar="N", help="learning rates of each; default: likewise")
    parser.add_argument(
        "--output", type=Path, default=Path("gradtx-race"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument("--list", action="store_true", help="show the tasks and the optimizers, and stop")
    parser.add_argument("--fresh", action="store_true", help="do again what was kept in FOLDER")
    parser.add_argument(
        "--agreement",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to compare updates with those of the other libraries; default: yes, on tasks with more than "
        f"{SMALL:,} parameters of {', '.join(BESIDE)} alone",
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
                lines.append(f"  {contender.label:<16} rates round {contender.centre:g}{note}")
    return "\n".join(lines)


def choose(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Choice:
    """The tasks and contenders that the options ask for; an error where nothing is left."""
    known, words, asked = contenders(), _flat(options.optimizers), _flat(options.libraries)
    picked = [known[label] for label in _labels(parser, known, words, asked)]
    absent = [library for library in LIBRARIES if not installed(library)]
    for library in absent:
        if library in asked or any(word.startswith(f"{library}:") for word in words):
            parser.error(f"{library} is not installed: pip install {library}, or leave it out")
    notes = [f"{library} is not installed, and left out" for library in absent]
    picked = [contender for contender in picked if contender.library not in absent]
    tasks = [_sized(task(name), options) for name in _flat(options.tasks) or (QUICK_TASKS if options.quick else TASKS)]
    pairs = [(contender, task) for contender in picked for task in tasks]
    if not words and options.quick:
        on = {task.name: QUICK if is_small(task) else QUICK_ON_LARGE for task in tasks}
        pairs = [(contender, task) for contender, task in pairs if contender.label in on[task.name]]
    elif not words and not asked:
        pairs = [(contender, task) for contender, task in pairs if contender.by_default(task)]
        notes.append(
            f"of optax on tasks with more than {SMALL:,} parameters, and of torch, only {', '.join(BESIDE)} race by "
            "default"
        )
    notes += _absences(pairs)
    pairs = [(contender, task) for contender, task in pairs if contender.absence(task) is None]
    if not pairs:
        parser.error(f"nothing is left to race: {'; '.join(notes) or 'see --list'}")
    rivals = [c for c in known.values() if c.library not in ("gradtx", *absent) and c.library in (asked or LIBRARIES)]
    return Choice(pairs, rivals if options.agreement else [], notes)


def _labels(
    parser: argparse.ArgumentParser, known: Iterable[str], words: Sequence[str], libraries: Sequence[str]
) -> list[str]:
    """The labels that are asked for, each once; a name without a library is of all that are asked for, or of gradtx."""
    if not words:
        return [label for label in known if _library(label) in (libraries or LIBRARIES)]
    labels: list[str] = []
    for word in words:
        prefix, _, name = word.rpartition(":")
        of = [prefix] if prefix else libraries or ["gradtx"]
        there = [label for label in known if _library(label) in of and label.rpartition(":")[2] == name]
        if not there:
            parser.error(f"argument --optimizers: there is no {name!r} in {', '.join(of)}; --list shows them")
        labels += there
    return list(dict.fromkeys(labels))


def _library(label: str) -> str:
    return label.rpartition(":")[0] or "gradtx"


def _sized(task: Task, options: argparse.Namespace) -> Task:
    """The task with as many steps, rates and seeds as the options want."""
    if options.quick:
        task = quick(task)
        task = dataclasses.replace(task, seeds=min(task.seeds, QUICK_SEEDS))
    return dataclasses.replace(task, seeds=options.seeds or task.seeds, rates=options.rates or task.rates)


def _absences(pairs: Iterable[tuple[Contender, Task]]) -> list[str]:
    """A sentence for each reason for which some do not run on some tasks."""
    found: dict[tuple[str, str], list[str]] = {}
    for contender, each in pairs:
        reason = contender.absence(each)
        if reason is not None:
            found.setdefault((each.name, reason), []).append(contender.label)
    grouped: dict[tuple[str, str], list[str]] = {}
    for (name, reason), labels in found.items():
        grouped.setdefault((", ".join(labels), reason), []).append(name)
    return [f"left out: {labels} on {', '.join(names)}: {reason}" for (labels, reason), names in grouped.items()]


def _flat(groups: Sequence[Sequence[str]] | None) -> list[str]:
    return list(dict.fromkeys(word for group in groups or () for word in group))


def _words(text: str, what: str) -> list[str]:
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    return words or wrong(f"name at least one {what}; --list shows them")


def _tasks(text: str) -> list[str]:
    return _known(text, "task", TASKS)


def _libraries(text: str) -> list[str]:
    return _known(text, "library", LIBRARIES)


def _optimizers(text: str) -> list[str]:
    known = contenders()
    return _known(text, "optimizer", [*known, *(f"gradtx:{name}" for name in known if ":" not in name)])


def _known(text: str, what: str, known: Iterable[str]) -> list[str]:
    words = _words(text, what)
    for word in words:
        if word not in known:
            wrong(f"there is no {what} {word!r}{suggestion(word, known)}; --list shows them")
    return words
