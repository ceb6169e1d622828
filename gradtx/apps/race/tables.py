"""The tables of a report and of the terminal, as rows of text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradtx.apps.race.measures import Standing, good_enough, median_decades, standings, start_gap
from gradtx.apps.race.overall import OWN, board, comparisons, one_of_each, ranks, share_within
from gradtx.apps.race.results import Results
from gradtx.apps.race.task import TaskInfo
from gradtx.apps.race.words import (
    DIVERGED,
    NO_STEP,
    about_overrides,
    count,
    decades,
    duration,
    error,
    gap,
    left_out,
    number,
)
from gradtx.text_table import aligned, dashes

HEADING = 17  # letters in a line of a heading, in a terminal


class Table(NamedTuple):
    """caption, headings, rows: text. words: places of the columns with words; the others hold numbers."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: tuple[int, ...] = (0, 1)


def task_table(results: Results, task: TaskInfo) -> Table:
    """A row for each optimizer and library, the lowest final score first."""
    headings = ("Optimizer", "Library", "Best rate", "Final score (range)", "Steps to target (at rate)")
    headings += ("Time to target", "with compilation", "Decades of good rates")
    rows = [_row(standing) for standing in standings(results, task)]
    return Table(f"{task.name}: every optimizer at its best rate, best first", headings, rows)


def _row(s: Standing) -> tuple[str, ...]:
    best, final, rates = "–", f"{DIVERGED} at every rate", s.cell.rates
    if s.best is not None:
        edge = edge_of(rates, s.best)
        best = rate_at(s, s.best) + (f" ({edge})" if edge else "")
        several = s.cell.scores.shape[1] > 1
        final = gap(s.final.median) + (f" ({gap(s.final.least)} to {gap(s.final.greatest)})" if several else "")
    steps = number(s.steps) + ("" if s.fastest is None else f" (at {rate_at(s, s.fastest)})")
    times = duration(s.seconds), duration(s.compiled)
    return s.cell.optimizer, s.cell.library, best, final, steps, *times, decades(s.decades, s.open)


def rate_at(s: Standing, i: int) -> str:
    """A learning rate as text."""
    return number(float(s.cell.rates[i]))


def edge_of(rates: np.ndarray, i: int) -> str:
    """A note for a rate at an end of those that were tried, because a better one may lie beyond; else empty."""
    if len(rates) == 1:
        return "only one tried"
    return "lowest tried" if i == 0 else "highest tried" if i == len(rates) - 1 else ""


def about_task(results: Results, task: TaskInfo) -> str:
    """A paragraph: what the task is, its steps and seeds, its target, and what counts as a good rate."""
    above = "" if task.lower_bound == 0 else f", scores being counted above {number(task.lower_bound)}"
    best = min((s.final.median for s in standings(results, task)), default=math.inf)
    text = (
        f"{task.about.rstrip('.')}. {count(task.steps, 'step')}, {count(task.rates, 'rate')} and "
        f"{count(task.seeds, 'seed')} for each optimizer. Score: {task.unit}{above}. It begins at "
        f"{number(start_gap(results, task))}; the target is {number(task.target - task.lower_bound)}; a rate is good "
        f"if it ends at {number(good_enough(task, best))} or below."
    )
    return f"{text} {about_overrides(task)}".rstrip()


def overall_table(results: Results) -> Table:
    """A row for each optimizer that ran on all tasks of the comparison; those that reach the most targets first."""
    b = board(results)
    if not b.optimizers:
        return Table("", (), ())
    n = len(b.tasks)
    reached, fastest = np.isfinite(b.steps).sum(axis=1), (share_within(1.0, b.steps) * n).round().astype(int)
    twice, mean_ranks = (share_within(2.0, b.steps) * n).round().astype(int), ranks(b.finals).mean(axis=1)
    order = sorted(range(len(b.optimizers)), key=lambda i: (-reached[i], -twice[i], mean_ranks[i], b.optimizers[i]))
    headings = ("Optimizer", f"Targets reached (of {n})", "First there", "Within twice the fewest steps")
    headings += (f"Mean rank of final score (of {len(b.optimizers)})", "Decades of good rates (median)")
    rows = []
    for i in order:
        counts = map(str, (reached[i], fastest[i], twice[i]))
        width = decades(*median_decades(b.widths[i], b.open[i]))
        rows.append((b.optimizers[i], *counts, f"{mean_ranks[i]:.1f}", width))
    caption = f"All optimizers over {count(n, 'task')}, those that reach the most targets first"
    return Table(caption, headings, rows, words=(0,))


def libraries_table(results: Results) -> Table:
    """A row for each optimizer of another library that raced against gradtx's: differences and ratios of times."""
    found, rows = comparisons(results), []
    for name, library in dict.fromkeys((c.optimizer, c.library) for c in found):
        these = [c for c in found if (c.optimizer, c.library) == (name, library)]
        apart = max((c.difference for c in these if not math.isnan(c.difference)), default=math.nan)
        ratios = _ratios([c.running for c in these]), _ratios([c.compiling for c in these])
        rows.append((name, library, str(len(these)), DIVERGED if math.isinf(apart) else error(apart), *ratios))
    headings = ("Optimizer", "Library", "Tasks", "Largest difference of curves")
    headings += (f"Seconds running, {OWN} / library", f"Seconds compiling, {OWN} / library")
    return Table(f"{OWN} compared with other libraries: medians over tasks, and ranges", headings, rows)


def _ratios(values: list[float]) -> str:
    known = [x for x in values if math.isfinite(x)]
    between = f" ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else ""
    return f"{np.median(known):.2f}{between}" if known else "–"


def agreement_table(results: Results) -> Table:
    """A row for each optimizer and library with compared updates: the largest difference on any task."""
    rows = []
    for name, library in dict.fromkeys((a.optimizer, a.library) for a in results.agreements):
        these = [a for a in results.agreements if (a.optimizer, a.library) == (name, library)]
        worst = max(these, key=lambda a: (not a.steps, a.excess))
        difference = error(worst.difference) if worst.steps else NO_STEP
        holds = "yes" if all(a.holds for a in these) else "NO"
        rows.append((name, library, str(len(these)), difference, worst.task, error(worst.bound), holds))
    headings = ("Optimizer", "Library", "Tasks", "Largest difference", "on", "Bound", "Agrees on all")
    return Table(f"Agreement of updates with {OWN}'s, from the same gradients", headings, rows, words=(0, 1, 4, 6))


def not_compared_table(results: Results) -> Table:
    """The optimizers that compute something else in another library, and why."""
    rows = [(n.optimizer, n.library, n.reason) for n in results.not_compared]
    return Table("Not compared", ("Optimizer", "Library", "Why"), rows, words=(0, 1, 2))


def sources_table(results: Results) -> Table:
    """The data of the tasks and its fingerprints; data of several tasks has one row."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for task in results.tasks:
        for source in task.sources:
            tasks.setdefault(source, []).append(task.name)
    rows = [(", ".join(names), name, mark) for (name, mark), names in tasks.items()]
    return Table("Data, and its fingerprint", ("Tasks", "Data", "Fingerprint"), rows, words=(0, 1, 2))


def pairs(caption: str, headings: tuple[str, str], content: Mapping[str, str]) -> Table:
    """A table of two columns."""
    return Table(caption, headings, list(content.items()))


def notes_on_overall(results: Results) -> list[str]:
    """Sentences about optimizers and tasks that are not in the comparison over tasks, and why."""
    b, found = board(results), left_out(results)
    if b.skipped:
        found.append(f"Not counted, because fewer than two thirds of the optimizers ran: {', '.join(b.skipped)}.")
    reasons: dict[tuple[str, ...], list[str]] = {}
    for name, tasks in b.left_out.items():
        reasons.setdefault(tasks, []).append(name)
    return found + [f"Not compared: {', '.join(who)}; not run on {', '.join(tasks)}." for tasks, who in reasons.items()]


def summary_for_terminal(results: Results) -> str:
    """The table over all tasks as lines for a terminal, and its notes; a sentence if there is nothing to compare."""
    table, notes = overall_table(results), notes_on_overall(results)
    if not table.rows:
        return "\n".join(["There is nothing to compare over tasks: the report has a table for each task.", *notes])
    heads = [textwrap.wrap(heading, HEADING) for heading in table.headings]
    height = max(map(len, heads))
    rows: list[Sequence[str]] = [[([""] * (height - len(head)) + head)[i] for head in heads] for i in range(height)]
    rows += table.rows
    rows.insert(height, dashes(rows))
    return "\n".join([*aligned(rows), "", *notes]).rstrip()


def best_for_terminal(results: Results) -> str:
    """For each task, which optimizer ended lowest, and which reached the target in the fewest steps; lines of text.

    Medians over seeds, each at its best rate; an optimizer of several libraries appears once.
    """
    rows: list[tuple[str, ...]] = [
        ("task", "lowest at the end", "rate", "above the bound", "first at the target", "rate", "steps")
    ]
    for task in results.tasks:
        found = list(one_of_each(standings(results, task)).values())
        lowest = ("all diverged" if found else "nobody ran", "", "")
        if found and found[0].best is not None:
            s = found[0]
            lowest = (s.cell.optimizer, f"{s.cell.rates[s.best]:g}", f"{s.final.median:.2g}")
        first, fastest = ("nobody", "", ""), min(found, key=lambda s: (s.steps, s.final.median), default=None)
        if fastest is not None and fastest.fastest is not None:
            first = (fastest.cell.optimizer, f"{fastest.cell.rates[fastest.fastest]:g}", f"{fastest.steps:,.0f}")
        rows.append((task.name, *lowest, *first))
    head, *lines = aligned(rows, left={0, 1, 4})
    return "\n".join([head, "-" * len(head), *lines])
