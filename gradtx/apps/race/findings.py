"""The findings of a race: sentences that are computed from its numbers, each with the numbers that support it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from gradtx.apps.race.measures import Standing, gaps, median_decades, standings, start_gap
from gradtx.apps.race.overall import (
    OWN,
    RESOLUTION,
    Board,
    Comparison,
    board,
    comparisons,
    floored,
    one_of_each,
    ranks,
    share_within,
)
from gradtx.apps.race.results import Agreement, Results
from gradtx.apps.race.tables import edge_of
from gradtx.apps.race.task import TaskInfo
from gradtx.apps.race.words import NO_STEP, count, decades, error, gap, left_out, named, number, series

PLAIN = ("sgd", "momentum", "nesterov")  # they do not scale coordinates
CHANCE = 0.05  # a difference that a fair coin makes more often is not significant
EAGER = (
    " torch compiles nothing: it steps from Python, on one thread, with a parameter group for each rate, which takes "
    "most of its time."
)
NO_PROGRESS = 0.05  # of the gap at the start: an optimizer that closes less has failed


def findings(results: Results) -> list[str]:
    """Sentences about who was best and by how much, who failed where, how the libraries compare, and what is uncertain.

    Two optimizers are compared by the sign test over tasks, or over seeds. If a fair coin gives such a result more
    often than once in twenty, the sentence says so. A race of one optimizer or one task has fewer sentences.
    """
    b, found = board(results), left_out(results)
    if len(b.optimizers) > 1:
        found += [*_reached(b), *_steps(b), *_ends(b), *_widths(b)]
    found += [*_plain(results), *_failures(results), *_libraries(comparisons(results)), *_agreements(results)]
    return [*found, *_edges(results), *_diverged(results)]


def chance(wins: int, losses: int) -> float:
    """The probability that a fair coin is at least as one-sided: the two-sided sign test, without ties.

        p = min(1, 2 · sum over k >= max(wins, losses) of C(n, k) / 2^n)        n = wins + losses

    >>> chance(6, 0), chance(3, 2)
    (0.03125, 1.0)
    """
    n = wins + losses
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(max(wins, losses), n + 1)) / 2**n)


def _reached(b: Board) -> Iterable[str]:
    reached = np.isfinite(b.steps).sum(axis=1)
    of = f"On the {count(len(b.tasks), 'task')} that all {len(b.optimizers)} optimizers ran"
    if reached.min() == reached.max():
        yield f"{of}, each of them reaches the target on {reached[0]}."
        return
    (most, k), *_, (fewest, m) = _groups(b.optimizers, -reached)
    yield f"{of}, {_some(most)} reached the most targets, {-k:.0f}; {_some(fewest)} the fewest, {abs(m):.0f}."


def _steps(b: Board) -> Iterable[str]:
    if not np.isfinite(b.steps).any():
        return
    groups = _groups(b.optimizers, -(share_within(2.0, b.steps) * len(b.tasks)).round())
    parts = [f"{_some(names)} on {-value:.0f} of {len(b.tasks)}" for names, value in groups[:2] if value]
    yield f"Within twice the fewest steps to the target: {'; then '.join(parts)}.{_apart(b, b.steps, groups)}"


def _ends(b: Board) -> Iterable[str]:
    groups = _groups(b.optimizers, ranks(b.finals).mean(axis=1).round(1))
    parts = [f"{_some(names)}, {value:.1f}" for names, value in groups[:2]]
    of = f"The lowest mean rank of the final score, of {len(b.optimizers)}"
    yield f"{of}: {'; then '.join(parts)}.{_apart(b, b.finals, groups)}"


def _widths(b: Board) -> Iterable[str]:
    medians = [median_decades(*row) for row in zip(b.widths, b.open, strict=True)]
    groups = _groups(b.optimizers, np.array([-round(found, 2) for found, _ in medians]))
    more = {name for name, (_, more) in zip(b.optimizers, medians, strict=True) if more}
    first, *others = (f"{_some(names)}, {decades(abs(value), bool(more & {*names}))}" for names, value in groups)
    then = f"; then {others[0]}" if len(others) > 1 else ""
    fewest = f"; the fewest: {others[-1]}" if others else ""
    yield f"The most decades of good learning rates, median over tasks: {first}{then}{fewest}."


def _groups(names: Sequence[str], costs: np.ndarray) -> list[tuple[list[str], float]]:
    """The names of equal cost together, the least cost first."""
    return [([n for n, x in zip(names, costs, strict=True) if x == cost], float(cost)) for cost in np.unique(costs)]


def _apart(b: Board, costs: np.ndarray, groups: list[tuple[list[str], float]]) -> str:
    """Whether the first is significantly ahead of the next; empty if several are first."""
    if len(groups[0][0]) > 1 or len(groups) < 2:
        return ""
    one, two = groups[0][0][0], groups[1][0][0]
    mine, theirs = (costs[b.optimizers.index(name)] for name in (one, two))
    wins, losses = int((mine < theirs).sum()), int((theirs < mine).sum())
    p = chance(wins, losses)
    unsure = "" if p <= CHANCE and wins > losses else f": that does not tell them apart (sign test, p = {p:.2g})"
    return f" {one} is ahead of {two} on {wins}, behind on {losses}{unsure}."


def _plain(results: Results) -> Iterable[str]:
    """The tasks on which the best plain gradient method ends lower than the best adaptive one."""
    lower, tasks = [], 0
    for task in (each for each in results.tasks if each.counted):
        found = list(one_of_each(standings(results, task)).values())
        plain = next((s for s in found if s.cell.optimizer in PLAIN), None)
        scaled = next((s for s in found if s.cell.optimizer not in PLAIN), None)
        if plain is None or scaled is None:
            continue
        tasks += 1
        floor = RESOLUTION * start_gap(results, task)
        if floored(plain.final.median, floor) < floored(scaled.final.median, floor):
            lower.append(f"{task.name} ({_against(plain, scaled, task)})")
    if tasks:
        names = series([x for x in PLAIN if any(c.optimizer == x for c in results.cells)], "or")
        where = f": {'; '.join(lower)}" if lower else ""
        of = f"{len(lower)} of {count(tasks, 'task')}"
        yield f"Plain gradient steps ({names}) end lower than every other method on {of}{where}."


def _against(a: Standing, b: Standing, task: TaskInfo) -> str:
    text = f"{a.cell.optimizer} {gap(a.final.median)}, {b.cell.optimizer} {gap(b.final.median)}"
    if a.best is None or b.best is None:
        return text
    one, two = (gaps(s.cell, task.lower_bound)[s.best, :, -1] for s in (a, b))
    if len(one) != len(two):
        return text
    wins, losses = int((one < two).sum()), int((two < one).sum())
    unsure = ", too few to tell" if chance(wins, losses) > CHANCE else ""
    return f"{text}, lower in {wins} of {count(len(one), 'seed')}{unsure}"


def _failures(results: Results) -> Iterable[str]:
    """The optimizers that make next to no progress at any rate on a task whose target another one reaches."""
    for task in results.tasks:
        found, start = list(one_of_each(standings(results, task)).values()), start_gap(results, task)
        reached = [named(task, s.cell.optimizer) for s in found if math.isfinite(s.steps)]
        failed = [s for s in found if math.isinf(s.steps) and not s.final.median < (1 - NO_PROGRESS) * start]
        if reached and failed:
            ends = series(f"{named(task, s.cell.optimizer)} ({gap(s.final.median)})" for s in failed)
            yield (
                f"On {task.name} these fail at every rate that was tried, closing less than 5% of the gap "
                f"({number(start)} at the start): {ends}; the target, {number(task.target - task.lower_bound)}, is "
                f"reached by {_some(reached)}."
            )


def _libraries(found: Sequence[Comparison]) -> Iterable[str]:
    for library in dict.fromkeys(each.library for each in found):
        these = [each for each in found if each.library == library]
        known = [each for each in these if not math.isnan(each.difference)]
        text = f"{OWN} compared with {library}, {count(len(these), 'pair')} of the same optimizer and task: "
        if known:
            worst, middle = max(known, key=lambda each: each.difference), np.median([x.difference for x in known])
            text += (
                f"the curves at {OWN}'s best rate differ by at most {number(worst.difference)} of the gap at the start "
                f"({worst.optimizer} on {worst.task}), by {number(float(middle))} in the median; "
            )
        parts = [(_ratio([x.running for x in these]), "run"), (_ratio([x.compiling for x in these]), "compile")]
        times = " and ".join(f"{ratio} times as long to {what}" for ratio, what in parts if ratio)
        yield f"{text}{OWN} takes {times or 'a time that is not known'}.{EAGER if library == 'torch' else ''}"


def _ratio(values: Sequence[float]) -> str:
    """The median and the middle half; empty if nothing is known, as for torch, which does not compile."""
    known = [x for x in values if math.isfinite(x)]
    if not known:
        return ""
    lower, middle, upper = np.quantile(known, (0.25, 0.5, 0.75))
    unclear = ", no clear difference" if lower <= 1 <= upper else ""
    return f"{middle:.2f}" + (f" (middle half {lower:.2f} to {upper:.2f}{unclear})" if len(known) > 1 else "")


def _agreements(results: Results) -> Iterable[str]:
    checked = results.agreements
    if not checked:
        return
    bad, idle = ([a for a in checked if not a.holds and bool(a.steps) is some] for some in (True, False))
    of = f"{count(len(checked), 'comparison')} of updates with {series(dict.fromkeys(a.library for a in checked))}"
    if idle:
        where = series(f"{a.optimizer} of {a.library} on {a.task}" for a in idle)
        yield f"In {len(idle)} of {of} {NO_STEP}, and nothing is shown: {where}."
    if bad:
        yield f"{len(bad)} of {of} are beyond their bounds: {series(map(_distance, bad))}."
    elif not idle:
        nearest = _distance(max(checked, key=lambda a: a.excess))
        yield f"All {of} are within bounds; the nearest to its own: {nearest}."


def _distance(a: Agreement) -> str:
    return f"{a.optimizer} of {a.library} on {a.task} ({error(a.difference)}, bound {error(a.bound)})"


def _edges(results: Results) -> Iterable[str]:
    """The cells whose best rate is the first or the last that was tried."""
    every = [s for task in results.tasks for s in one_of_each(standings(results, task)).values() if s.best is not None]
    at_end = [f"{s.cell.optimizer} on {s.cell.task}" for s in every if edge_of(s.cell.rates, s.best or 0)]
    if at_end:
        some = ", ".join(at_end[:6]) + (", …" if len(at_end) > 6 else "")
        of = f"{len(at_end)} of {count(len(every), 'case')}"
        yield f"In {of} the best rate is at an end of those tried, and a better one may lie beyond: {some}."


def _diverged(results: Results) -> Iterable[str]:
    counts: dict[str, np.ndarray] = {}  # optimizer -> runs that diverged, all runs
    for cell in results.cells:
        bad = ~np.isfinite(cell.scores[:, :, -1])
        counts[cell.optimizer] = counts.get(cell.optimizer, np.zeros(2)) + np.array([bad.sum(), bad.size])
    lost, n = sum(counts.values(), np.zeros(2))
    if lost:
        shares = {name: float(k / m) for name, (k, m) in counts.items()}
        worst = max(shares, key=lambda name: shares[name])
        share = f"{lost / n:.1%}"
        yield f"{lost:,.0f} of {n:,.0f} trainings diverged, {share}; most often those of {worst}, {shares[worst]:.0%}."


def _some(names: list[str]) -> str:
    """At most five names; of more, four and the number of the others."""
    return series(names if len(names) <= 5 else [*names[:4], f"{len(names) - 4} more"])
