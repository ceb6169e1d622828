"""The tables of a report as values, which Markdown, HTML and the terminal write down each in its way."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gradtx.apps.race.given import about_given
from gradtx.apps.race.measures import Standing, good_enough, median_decades, standings, start_gap
from gradtx.apps.race.overall import OWN, Board, board, ranks, share_within
from gradtx.apps.race.results import Results, TaskInfo
from gradtx.apps.race.sides import sides

NEVER, DIVERGED, NO_STEP = "never", "diverged", "no step was compared"
ENDS = {"lowest": "lowest tried", "highest": "highest tried"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands in a field of a table, and the number by which its column is sorted; None: by the text."""

    text: str
    key: float | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: a caption, headings, and rows of as many entries; the first entry of a row names it."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]


def number(x: float) -> str:
    """Three digits of a number, `never` for infinity, a dash for NaN.

    Example:
        >>> number(12345.6), number(0.00012345), number(1.2e-7), number(float("inf")), number(float("nan"))
        ('12,300', '0.000123', '1.2e-7', 'never', '–')
    """
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return NEVER if x > 0 else "-∞"
    if x != 0 and not 1e-4 <= abs(x) < 1e6:
        digits, exponent = f"{x:.2e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    rounded = float(f"{x:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def duration(x: float) -> str:
    """Seconds, with the unit that makes them short.

    Example:
        >>> duration(0.0000123), duration(0.045), duration(61.234), duration(float("inf"))
        ('12.3 µs', '45 ms', '61.2 s', 'never')
    """
    if not math.isfinite(x) or x == 0:
        return number(x)
    factor, unit = (1.0, "s") if x >= 1 else (1e3, "ms") if x >= 1e-3 else (1e6, "µs")
    return f"{number(x * factor)} {unit}"


def error(x: float) -> str:
    """How far apart two numbers are, to two digits; a dash for NaN."""
    return f"{x:.1e}" if math.isfinite(x) else number(x)


def gap(x: float) -> str:
    """A final score; infinity is a training that diverged."""
    return DIVERGED if math.isinf(x) else number(x)


def place(cell_rates: np.ndarray, i: int) -> str:
    """Where a rate is at an end of those that were tried: a better one may lie beyond."""
    if len(cell_rates) == 1:
        return "only one tried"
    return ENDS["lowest"] if i == 0 else ENDS["highest"] if i == len(cell_rates) - 1 else ""


def width(decades: float, more: bool) -> Entry:
    """Decades of good rates, with ≥ where there may be more of them."""
    return Entry(("≥ " if more else "") + f"{decades:.2f}", decades)


def task_table(results: Results, task: TaskInfo) -> Table:
    """A row for each contender of a task, the lowest final score first."""
    headings = (
        "Optimizer",
        "Library",
        "Best rate",
        "Final score (range)",
        "Steps to target (at rate)",
        "Time to target",
        "with compilation",
        "Decades of good rates",
    )
    rows = tuple(_row(standing) for standing in standings(results, task))
    return Table(f"{task.name}: every optimizer at its best rate, best first", headings, rows)


def _row(s: Standing) -> tuple[Entry, ...]:
    rates = s.cell.rates
    if s.best is None:
        best, final = Entry("–", math.inf), Entry(f"{DIVERGED} at every rate", math.inf)
    else:
        edge = place(rates, s.best)
        best = Entry(number(float(rates[s.best])) + (f" ({edge})" if edge else ""), float(rates[s.best]))
        several = s.cell.scores.shape[1] > 1
        between = f" ({gap(s.final.least)} to {gap(s.final.greatest)})" if several else ""
        final = Entry(gap(s.final.median) + between, s.final.median)
    at = "" if s.fastest is None else f" (at {number(float(rates[s.fastest]))})"
    return (
        Entry(s.cell.optimizer),
        Entry(s.cell.library),
        best,
        final,
        Entry(number(s.steps) + at, s.steps),
        Entry(duration(s.seconds), s.seconds),
        Entry(duration(s.compiled), s.compiled),
        width(s.decades, s.open),
    )


def about_task(results: Results, task: TaskInfo) -> str:
    """A paragraph: what the task is, its steps and seeds, its target, and what counts as a good rate."""
    above = "" if task.lower_bound == 0 else f", scores being counted above {number(task.lower_bound)}"
    best = min((s.final.median for s in standings(results, task)), default=math.inf)
    text = (
        f"{task.about.rstrip('.')}. {count(task.steps, 'step')}, {count(task.rates, 'rate')} and "
        f"{count(task.seeds, 'seed')} for each optimizer. Score: {task.unit}{above}. It begins at "
        f"{number(start_gap(results, task))}; the target is {number(task.target - task.lower_bound)}; a rate is good "
        f"where it ends at {number(good_enough(task, best))} or below."
    )
    return f"{text} {about_given(task)}".rstrip()


def overall_table(results: Results) -> Table:
    """A row for each optimizer that ran on all of the tasks that are compared."""
    return _overall(board(results))


def _overall(b: Board) -> Table:
    if not b.optimizers:
        return Table("All of them over all tasks", (), ())
    n = len(b.tasks)
    reached, fastest = np.isfinite(b.steps).sum(axis=1), (share_within(1.0, b.steps) * n).round().astype(int)
    twice, mean_ranks = (share_within(2.0, b.steps) * n).round().astype(int), ranks(b.finals).mean(axis=1)
    order = sorted(range(len(b.optimizers)), key=lambda i: (-reached[i], -twice[i], mean_ranks[i], b.optimizers[i]))
    headings = (
        "Optimizer",
        f"Targets reached (of {n})",
        "First there",
        "Within twice the fewest steps",
        f"Mean rank of final score (of {len(b.optimizers)})",
        "Decades of good rates (median)",
    )
    rows = tuple(
        (
            Entry(b.optimizers[i]),
            Entry(str(reached[i]), float(reached[i])),
            Entry(str(fastest[i]), float(fastest[i])),
            Entry(str(twice[i]), float(twice[i])),
            Entry(f"{mean_ranks[i]:.1f}", float(mean_ranks[i])),
            width(*median_decades(b.widths[i], b.open[i])),
        )
        for i in order
    )
    return Table(f"All of them over {count(n, 'task')}, those that reach the most targets first", headings, rows)


def libraries_table(results: Results) -> Table:
    """A row for each optimizer and other library that raced beside gradtx's: the largest difference, and ratios."""
    found = sides(results)
    rows = []
    for name, library in dict.fromkeys((s.optimizer, s.library) for s in found):
        these = [s for s in found if (s.optimizer, s.library) == (name, library)]
        apart = max((s.difference for s in these if not math.isnan(s.difference)), default=math.nan)
        rows.append(
            (
                Entry(name),
                Entry(library),
                Entry(str(len(these)), len(these)),
                Entry(error(apart) if not math.isinf(apart) else DIVERGED, apart),
                _ratios([s.running for s in these]),
                _ratios([s.compiling for s in these]),
            )
        )
    headings = (
        "Optimizer",
        "Library",
        "Tasks",
        "Largest difference of curves",
        f"Seconds running, {OWN} / library",
        f"Seconds compiling, {OWN} / library",
    )
    return Table(f"{OWN} beside other libraries: medians over tasks, and ranges", headings, tuple(rows))


def _ratios(values: list[float]) -> Entry:
    known = [x for x in values if math.isfinite(x)]
    if not known:
        return Entry("–", math.inf)
    middle = float(np.median(known))
    return Entry(f"{middle:.2f}" + (f" ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else ""), middle)


def agreement_table(results: Results) -> Table:
    """A row for each optimizer and other library whose updates were compared: the largest difference on any task."""
    rows = []
    for name, library in dict.fromkeys((a.optimizer, a.library) for a in results.agreements):
        these = [a for a in results.agreements if (a.optimizer, a.library) == (name, library)]
        worst = max(these, key=lambda a: (not a.steps, a.excess))
        rows.append(
            (
                Entry(name),
                Entry(library),
                Entry(str(len(these)), len(these)),
                Entry(error(worst.difference) if worst.steps else NO_STEP, worst.excess * worst.bound),
                Entry(worst.task),
                Entry(error(worst.bound), worst.bound),
                Entry("yes" if all(a.holds for a in these) else "NO"),
            )
        )
    headings = ("Optimizer", "Library", "Tasks", "Largest difference", "on", "Bound", "Agrees on all")
    return Table(f"Agreement of updates with {OWN}'s, given the same gradients", headings, tuple(rows))


def count(n: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
