"""The sections of a report; `report` writes them as Markdown and as an HTML page."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gradtx.apps.race import pictures
from gradtx.apps.race.findings import findings
from gradtx.apps.race.results import Results
from gradtx.apps.race.tables import (
    Table,
    about_task,
    agreement_table,
    libraries_table,
    not_compared_table,
    notes_on_overall,
    overall_table,
    pairs,
    sources_table,
    task_table,
)
from gradtx.apps.race.words import count, number

TITLE = "A race of optimizers"

HOW = {
    "Budget": "On a task every optimizer has the same number of learning rates, spread over a range of its own, and "
    "the same seeds, which means the same starts and the same batches. Nothing else is tuned.",
    "Best rate": "The rate with the lowest median, over seeds, of the final score. A training whose score is not "
    "finite has diverged, and counts as infinite. A best rate that is the lowest or the highest tried is marked, "
    "because a better one may lie beyond.",
    "Final score": "Above the task's lower bound: the median over seeds, and the range from the least to the greatest.",
    "Steps to target": "The fewest steps after which at least half of the seeds have reached the target, at the rate "
    "that gets there first, which need not be the best one. Scores are taken every few steps, so this is rounded up.",
    "Time to target": "All trainings of an optimizer run in one program. This is the share of its running time for "
    "those steps of one training; with compilation, that of the whole program is added. One training alone takes "
    "longer than its share if the machine has vector lanes or cores to spare. torch takes its steps one by one from "
    "Python, without compilation, and most of its time goes there.",
    "Decades of good rates": "A rate is good if it ends at the target, or within 5% of the best score of any optimizer "
    "on the task. Each good rate counts half of the distance to its neighbours. ≥ says that an end of the range is "
    "good, so that the width is a lower bound; of a median, that it could be larger with wider ranges.",
    "Over tasks": "A task counts if at least two thirds of the optimizers ran on it, an optimizer if it ran on all of "
    "these tasks. A task that is built so that one method fails does not count. A performance profile (Dolan and "
    "Moré, 2002) is the share of tasks on which an optimizer needs at most so many times the steps of the fastest. "
    "Final scores that differ by less than float32 resolves of the score at the start share a rank.",
}
"""How everything is measured."""

LIMITS = (
    "The tasks are small, and run on the machine below. Which optimizer is best on a large network is not shown.",
    "Only the learning rate is tuned, and it stays constant: no schedule, and no search over momenta or weight decay. "
    "Optimizers that need these are shown without.",
    "Tuning and measuring use the same seeds and the same score, usually the loss on training data, so nothing is said "
    "about unseen data. On digits it is the loss on the test set: the rate is chosen on the set that is reported, so "
    "the scores there are too good.",
    "There are few seeds: a difference within their range is not a difference.",
    "The targets were chosen by the authors of the tasks; other targets give another order.",
    "Seconds are from one machine and one run, with many trainings in one program. They differ by a tenth and more "
    "from run to run.",
)
"""What must not be concluded."""


class Picture(NamedTuple):
    """draw: makes a matplotlib Figure. caption: below it. alt: says what it shows."""

    draw: Callable[[], Any]
    caption: str
    alt: Callable[[], str]


class Section(NamedTuple):
    """name: of the link to it. title: its heading. link: in the table of contents, empty for none. blocks: Markdown
    texts, tables and pictures. level: of the heading."""

    name: str
    title: str
    link: str
    blocks: list[Any]
    level: int = 2


def escape(words: str) -> str:
    """Words on one line, as Markdown in which nothing is markup.

    >>> print(escape("a|b *c* <d> x_1"))
    a\\|b \\*c\\* &lt;d&gt; x_1
    """
    words = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = re.sub(r"([\\`*|\[\]])", r"\\\1", words)
    words = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", words)  # inside of a word an underscore is not markup
    words = re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", words)  # nor begins a list
    return re.sub(r"^([#+-])(?=\s)", r"\\\1", words)


def items(sentences: Iterable[str]) -> str:
    """A list of sentences as Markdown."""
    return "\n".join(f"* {escape(sentence)}" for sentence in sentences)


def rows(table: Table) -> str:
    """The headings and rows of a table as Markdown, numbers right-aligned."""
    rules = ["---" if k in table.words else "---:" for k in range(len(table.headings))]
    lines = [map(escape, table.headings), rules, *(map(escape, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def captioned(table: Table) -> str:
    """A table with its caption in bold, as Markdown; empty if it has no rows."""
    return f"**{escape(table.caption)}**\n\n{rows(table)}" if table.rows else ""


def code(line: str) -> str:
    """A shell command as Markdown, in a fence that nothing in it can close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}bash\n{line}\n{fence}"


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


def sections(results: Results) -> list[Section]:
    """All sections in order, without those that have nothing to show."""
    ran = {cell.task for cell in results.cells}
    several = len({cell.optimizer for cell in results.cells}) > 1
    profiles = _picture(pictures.profile, pictures.about_profile, pictures.PROFILES, results)
    overall = [_picture(pictures.summary, pictures.about_summary, pictures.SUMMARY, results)] if ran else []
    overall += [overall_table(results), items(notes_on_overall(results)), *[profiles] * several]
    tasks = [Section("tasks", "Task by task", "", ["Every optimizer is shown at its best learning rate."])]
    for k, task in enumerate(results.tasks):
        drawn = [
            _picture(pictures.race, pictures.about_race, pictures.RACE, results, task),
            _picture(pictures.basins, pictures.about_basins, pictures.BASINS, results, task),
        ]
        blocks = [escape(about_task(results, task)), *(drawn if task.name in ran else ["No optimizer ran on it."])]
        tasks.append(Section(f"task-{k + 1}", task.name, task.name, [*blocks, task_table(results, task)], level=3))
    libraries = [libraries_table(results), agreement_table(results), not_compared_table(results)]
    again = [code(" ".join(results.settings.get("command", "python -m gradtx race").split()))]
    again += [pairs("Settings", ("Setting", "Value"), results.settings)]
    again += [pairs("Machine and versions", ("What", "Which"), results.machine), sources_table(results)]
    found = [
        Section("found", "What was found", "Findings", [items(findings(results))]),
        Section("overall", "Over all tasks", "Over all tasks", overall),
        *(tasks if results.tasks else []),
        Section("libraries", "Compared with other libraries", "Libraries", libraries),
        Section("how", "How it was measured", "How", [f"**{term}.** {escape(text)}" for term, text in HOW.items()]),
        Section("limits", "What it does not show", "Limits", [items(LIMITS)]),
        Section("again", "To run it again", "Run it again", again),
    ]
    for each in found:
        each.blocks[:] = [block for block in each.blocks if block and (not isinstance(block, Table) or block.rows)]
    return [each for each in found if each.blocks]


def _picture(draw: Callable[..., Any], about: Callable[..., str], caption: str, *args: Any) -> Picture:
    return Picture(functools.partial(draw, *args), caption, functools.partial(about, *args))
