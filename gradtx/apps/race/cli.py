"""The command line `python -m gradtx race`."""

from __future__ import annotations

import collections
import datetime
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradtx.apps import interrupt
from gradtx.apps.options import check_output
from gradtx.apps.race.choice import Choice, choose, listing, race_parser
from gradtx.apps.race.results import Agreement, Results
from gradtx.apps.race.words import NO_STEP, count
from gradtx.optional_imports import extra, require

FORMAT = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}]{postfix}"  # of the bar


def run(words: Sequence[str]) -> int:
    """Race, write the report, print the best of each task; the exit code."""
    parser = race_parser()
    options = parser.parse_args(words)
    if options.list:
        print(listing())
        return 0
    from gradtx.apps.race import report  # takes seconds; --list and errors need not wait for it

    require("race", "matplotlib.figure", "markdown_it", "sklearn.datasets", "tqdm")
    cells = options.output / "cells"
    check_output(parser, options.output, report.NUMBERS, report.TEXT, report.PAGE)
    check_output(parser, cells)
    choice = choose(parser, options)
    interrupt.note = f"; finished work is in {cells}, and the same command continues from there"
    results = race(choice, options.output, command=_command(words), fresh=options.fresh)
    return _finish(results, options.output)


def race(choice: Choice, folder: Path, *, command: str = "", fresh: bool = False) -> Results:
    """Run what was chosen, except what is stored in the folder's `cells`, with a bar in a terminal.

    command: the options that run this race again, for the report. fresh: forget what is stored.
    """
    from gradtx.apps.race.work import Store, do, gather, plan, this_machine

    with extra("race"):
        from tqdm import tqdm

    started, done, before = time.perf_counter(), [], 0.0
    machine = this_machine(dict.fromkeys(c.library for c in (*choice.contenders, *choice.rivals)))
    works, store = plan(choice.pairs, choice.rivals, machine), Store(folder / "cells")
    if fresh:
        store.clear()
    print("\n".join([_introduction(choice), *choice.notes]), flush=True)
    took: dict[Any, list[float]] = {}
    with tqdm(total=len(works), disable=None, leave=False, dynamic_ncols=True, miniters=0, bar_format=FORMAT) as bar:

        def begin(place: int, work: Any) -> Any:
            bar.set_postfix_str(_time_left(works[place:], took) + work.about)
            return lambda: bar.update(0)

        for work, kept, how in do(works, store, begin):
            if how == "kept":
                before += kept.seconds
            else:
                took.setdefault(_sort(work), []).append(kept.seconds)
            if how not in ("kept", "new"):
                bar.write(how)
            bar.update()
            done.append((work, kept))
    settings = {"command": f"python -m gradtx race {command}".strip()}
    settings["agreement"] = "compared" if choice.rivals else "not compared"
    seconds = before + time.perf_counter() - started
    return gather(choice.tasks, done, bool(choice.rivals), machine=machine, settings=settings, seconds=seconds)


def _time_left(works: Sequence[Any], took: dict[Any, list[float]]) -> str:
    """An estimate from the median of finished work of the same task, kind and library, or the mean of all."""
    if not took:
        return ""
    usual = statistics.fmean(seconds for each in took.values() for seconds in each)
    medians = {sort: statistics.median(each) for sort, each in took.items()}
    seconds = sum(medians.get(_sort(work), usual) for work in works)
    return f"about {datetime.timedelta(seconds=round(seconds))} left, "


def _sort(work: Any) -> tuple[str, type, str]:
    return work.task, work.kind, work.label.rpartition(":")[0]


def _finish(results: Results, folder: Path) -> int:
    """Write the report, print who was best and which libraries disagree; the exit code."""
    from gradtx.apps.race import report, tables

    paths = ", ".join(map(str, report.write(results, folder)))
    interrupt.note = f"; {paths} are written"
    print(f"\n{tables.best_for_terminal(results)}\n")
    if len(results.tasks) > 1:
        print(f"{tables.summary_for_terminal(results)}\n")
    print(f"Wrote {paths} after {results.seconds:.0f} seconds.")
    broken = [agreement for agreement in results.agreements if not agreement.holds]
    for agreement in broken:
        print(f"gradtx: {_in_words(agreement)}", file=sys.stderr)
    return 1 if broken else 0


def _in_words(a: Agreement) -> str:
    if not a.steps:
        return f"{a.optimizer} of gradtx and of {a.library} on {a.task}: {NO_STEP}, the first gradient is not finite"
    return (
        f"{a.optimizer} of gradtx and of {a.library} disagree on {a.task}: their updates differ by "
        f"{a.difference:.1e} of the largest entry within {a.steps} steps, the bound is {a.bound:.0e}"
    )


def _introduction(choice: Choice) -> str:
    trainings = sum(task.rates * task.seeds for _, task in choice.pairs)
    libraries = collections.Counter(contender.library for contender in choice.contenders)
    of = ", ".join(f"{n} of {library}" for library, n in libraries.items())
    return (
        f"{count(len(choice.contenders), 'optimizer')} ({of}) on {count(len(choice.tasks), 'task')}, "
        f"{count(trainings, 'training')}: the same starts, batches and number of learning rates for all."
    )


def _command(words: Sequence[str]) -> str:
    """The options without `--output` and `--fresh`, which are of no use to others."""
    kept, skip = [], False
    for word in words:
        if not skip and word != "--fresh" and not word.startswith("--output"):
            kept.append(word)
        skip = word == "--output"
    return " ".join(kept)
