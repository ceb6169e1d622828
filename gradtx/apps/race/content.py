"""What a report says besides its tables: how it was measured, what it does not show, how to run it again."""

from __future__ import annotations

from gradtx.apps.race.given import left_out
from gradtx.apps.race.overall import board
from gradtx.apps.race.results import Results
from gradtx.apps.race.tables import Entry, Table, count, number

HOW = {
    "Budget": "Every optimizer of a task has the same number of learning rates, spread over a range of its own, and "
    "the same seeds: the same starts and the same batches. Nothing else is tuned.",
    "Best rate": "The one with the lowest median, over seeds, of the final score. A training whose score is not "
    "finite has diverged, and counts as infinite. A best rate that is the lowest or the highest tried is marked: a "
    "better one may lie beyond.",
    "Final score": "Above the task's lower bound: the median over seeds, and from the least to the greatest.",
    "Steps to target": "The fewest after which at least half of the seeds have been at the target or below, at the "
    "rate that gets there first, which need not be the best one. Scores are taken every few steps, so this is rounded"
    " up.",
    "Time to target": "All trainings of an optimizer run in one program; this is the share of its running time "
    "that falls on those steps of one training, and with compilation, that of the whole program on top. One training "
    "alone takes longer than its share where the machine has lanes or cores to spare. torch takes its steps one by "
    "one from Python, without compilation: its seconds are mostly that.",
    "Decades of good rates": "A rate is good where it ends at the target, or within 5% of the best score of any "
    "optimizer on the task. Each stands for half of the way to its neighbours; ≥ says that an end of the range is "
    "among them; of a median, that it would be greater were those ranges wider.",
    "Over tasks": "Counted on the tasks where at least two thirds of the optimizers ran, for the optimizers that ran "
    "on all of those. A task that is built so that one method fails does not count. A performance profile (Dolan and "
    "Moré, 2002) is the share of tasks on which an optimizer needs at most so many times the steps of the fastest. "
    "Final scores that differ by less than float32 resolves of the score at the start share a rank.",
}
"""How everything was measured: term -> what it is."""

LIMITS = (
    "The tasks are small, and run on the machine below; which optimizer is best on a large network is not shown.",
    "The learning rate alone is tuned, and stays constant: no schedule, and no search over momenta or weight decay. "
    "Optimizers that need these are shown without.",
    "Tuning and measuring use the same seeds and the same score, mostly the loss on training data: nothing is said of "
    "data that was not seen. On digits that is the loss on the test set: the rate is chosen on the very set that is "
    "reported, so the scores there are too good.",
    "Few seeds: a difference within the range of the seeds is none.",
    "Targets are the choice of those who made the tasks; another target gives another order.",
    "Seconds are of one machine and one run, with many trainings in one program; they differ by a tenth and more from "
    "run to run.",
)
"""What must not be concluded."""


def summary(results: Results) -> str:
    """One sentence: how much ran, and how long it took."""
    optimizers = len({c.optimizer for c in results.cells})
    libraries = sorted({c.library for c in results.cells})
    trainings = sum(c.scores.shape[0] * c.scores.shape[1] for c in results.cells)
    of = f" of {', '.join(libraries)}" if libraries else ""
    return (
        f"{count(optimizers, 'optimizer')}{of} on {count(len(results.tasks), 'task')}: "
        f"{count(trainings, 'training')} in {number(results.seconds)} seconds."
    )


def notes_on_overall(results: Results) -> list[str]:
    """Who and what is not in the comparison over tasks, and why; a sentence for each reason."""
    b, found = board(results), [sentence] if (sentence := left_out(results)) else []
    if b.skipped:
        found.append(f"Not counted, since fewer than two thirds of the optimizers ran there: {', '.join(b.skipped)}.")
    reasons: dict[tuple[str, ...], list[str]] = {}
    for name, tasks in b.left_out.items():
        reasons.setdefault(tasks, []).append(name)
    return found + [f"Not compared: {', '.join(who)}; not run on {', '.join(tasks)}." for tasks, who in reasons.items()]


def pairs(caption: str, headings: tuple[str, str], content: dict[str, str]) -> Table:
    """A table of two columns."""
    return Table(caption, headings, tuple((Entry(name), Entry(text)) for name, text in content.items()))


def sources_table(results: Results) -> Table:
    """The data of the tasks, and its fingerprints; a source that several tasks share, once."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for task in results.tasks:
        for source in task.sources:
            tasks.setdefault(source, []).append(task.name)
    rows = tuple((Entry(", ".join(names)), Entry(name), Entry(mark)) for (name, mark), names in tasks.items())
    return Table("Data, and its fingerprint", ("Tasks", "Data", "Fingerprint"), rows)


def not_compared_table(results: Results) -> Table:
    """Optimizers of one name that are no match, and why."""
    rows = tuple((Entry(n.optimizer), Entry(n.library), Entry(n.reason)) for n in results.not_compared)
    return Table("Not compared", ("Optimizer", "Library", "Why"), rows)


def again(results: Results) -> str:
    """The command that runs this race again, on one line."""
    return " ".join(results.settings.get("command", "python -m gradtx race").split())
