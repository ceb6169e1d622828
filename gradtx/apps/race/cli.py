"""The command line of the race, `python -m gradtx race`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gradtx.apps.options import require_folder
from gradtx.apps.race.choice import Choice, choose, listing, race_parser
from gradtx.apps.race.results import Agreement, Results
from gradtx.apps.race.tables import NO_STEP, count
from gradtx.optional_imports import require


def run(words: Sequence[str]) -> int:
    """The command: race, print the best of each task, write the report; the exit code."""
    parser = race_parser()
    options = parser.parse_args(words)
    if options.list:
        print(listing())
        return 0
    require_folder(parser, options.output)
    try:
        require("race", "matplotlib.figure", "sklearn.datasets", "tqdm")
        choice = choose(parser, options)
        results = race(choice, options.output, command=_command(words), fresh=options.fresh)
        return _report(results, options.output)
    except KeyboardInterrupt:
        print(
            f"gradtx: stopped; what was done is kept in {options.output / 'cells'}, and the same command goes on from "
            "there",
            file=sys.stderr,
        )
        return 130


def race(choice: Choice, folder: Path, *, command: str = "", fresh: bool = False) -> Results:
    """Run what was chosen, but for what is kept in the folder, with a bar in a terminal.

    Args:
        choice: what is raced.
        folder: its `cells` keeps what is done.
        command: as which it can be run again; for the report.
        fresh: forget what is kept.
    """
    from gradtx.apps.race.bar import Bar  # after the quick answers
    from gradtx.apps.race.gather import gather
    from gradtx.apps.race.machine import machine
    from gradtx.apps.race.store import Store
    from gradtx.apps.race.work import do, plan

    started = time.perf_counter()
    libraries = dict.fromkeys(c.library for c in (*choice.contenders, *choice.rivals))
    runs_on = machine(libraries)
    works = plan(choice.pairs, choice.rivals, runs_on)
    store = Store(folder / "cells")
    if fresh:
        store.clear()
    print("\n".join([_introduction(choice), *choice.notes]), flush=True)
    done, before = [], 0.0
    with Bar(works) as bar:
        for work, kept, how in do(works, store, bar.begin):
            bar.end(work, kept.seconds if how != "kept" else None)
            before += kept.seconds if how == "kept" else 0.0
            if how not in ("kept", "new"):
                bar.say(how)
            done.append((work, kept))
    settings = {"command": f"python -m gradtx race {command}".strip()}
    settings["agreement"] = "compared" if choice.rivals else "not compared"
    seconds = before + time.perf_counter() - started
    return gather(choice.tasks, done, runs_on, settings, seconds, bool(choice.rivals))


def _report(results: Results, folder: Path) -> int:
    """Write it, say where it is and who was best, and whether the libraries agree."""
    from gradtx.apps.race import report
    from gradtx.apps.race.best import best_of_each

    paths = report.write(results, folder)
    print(f"\n{best_of_each(results)}\n")
    if len(results.tasks) > 1:
        print(f"{report.summary_table(results)}\n")
    print(f"Wrote {', '.join(map(str, paths))} after {results.seconds:.0f} seconds.")
    broken = [agreement for agreement in results.agreements if not agreement.holds]
    for agreement in broken:
        print(f"gradtx: {_said(agreement)}", file=sys.stderr)
    return 1 if broken else 0


def _said(a: Agreement) -> str:
    if not a.steps:
        return f"{a.optimizer} of gradtx and of {a.library} on {a.task}: {NO_STEP}, the first gradient is not finite"
    return (
        f"{a.optimizer} of gradtx and of {a.library} disagree on {a.task}: their updates differ by "
        f"{a.difference:.1e} of the largest entry within {a.steps} steps, the bound is {a.bound:.0e}"
    )


def _introduction(choice: Choice) -> str:
    trainings = sum(task.rates * task.seeds for _, task in choice.pairs)
    by_library: dict[str, int] = {}
    for contender in choice.contenders:
        by_library[contender.library] = by_library.get(contender.library, 0) + 1
    of = ", ".join(f"{n} of {library}" for library, n in by_library.items())
    return (
        f"{count(len(choice.contenders), 'optimizer')} ({of}) on {count(len(choice.tasks), 'task')}, "
        f"{count(trainings, 'training')}: the same starts, batches and number of learning rates for all."
    )


def _command(words: Sequence[str]) -> str:
    """The options again, without where it went: that is of no use to others."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word == "--output":
            skip = True
        elif not word.startswith("--output=") and word != "--fresh":
            kept.append(word)
    return " ".join(kept)
