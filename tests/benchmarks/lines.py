"""What the benchmark says: one line for each figure, with its target beside it where there is one."""

from __future__ import annotations

import math
from typing import NamedTuple

from tests.benchmarks.timing import Spread


class Scale(NamedTuple):
    """How large and how long: `--quick` and the tests shrink it."""

    big: int = 2**24  # numbers in the one big leaf
    many: int = 1000  # leaves, where there are many
    some: int = 300  # leaves, where there are fewer
    layers: int = 12  # of GPT-2 small's shapes, and of the small transformer
    deep: int = 250  # layers of the network with many leaves: two leaves each
    rows: int = 200_000  # of the embedding table
    steps: int = 200  # of the training runs in a sweep
    widths: tuple[int, ...] = (64, 256, 512)  # of the network that is swept
    rates: int = 32  # learning rates in a sweep
    compiles: int = 3  # pairs of compilations
    budget: float = 4.0  # seconds for the timed steps of one comparison


QUICK = Scale(2**16, 20, 10, 1, 4, 2_000, 10, (16,), 4, 1, 0.2)


class Line(NamedTuple):
    """One figure: what was done, what it is measured in, the figure, and the most it may be."""

    work: str
    unit: str
    measured: Spread | None  # None where it could not be measured; `note` says why
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed by 12%`, or empty where there is no target."""
        if self.target is None:
            return ""
        if self.measured is None or math.isnan(self.measured.median):
            return "not measured"
        over = self.measured.median / self.target - 1
        return "met" if over <= 1e-9 else f"missed by {over:.1%}"


COLUMNS = ("work", "in", "target", "measured (10%-90%)", "", "note")


def row(cells: tuple[str, ...] | list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def header() -> str:
    """The first two rows."""
    return f"{row(COLUMNS)}\n|{'---|' * len(COLUMNS)}"


def cells(line: Line) -> list[str]:
    """A line as a row."""
    target = "" if line.target is None else f"<= {line.target:.3g}"
    return [line.work, line.unit, target, str(line.measured or ""), line.verdict, line.note]
