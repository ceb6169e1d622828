"""What a race has found, as data: what is written to disk, read back, and reported."""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cell:
    """One optimizer of one library on one task, at all of its learning rates and seeds.

    rates: ascending. at: `[evaluations]`, the steps after which scores were taken, 0 first. scores: `[rates, seeds,
    evaluations]`, float64; infinite or NaN where a training diverged. seconds_compiling: to trace, lower and compile,
    once; 0 for torch, which compiles nothing. seconds_running: to run the steps of all of these trainings, side by
    side; without compilation, starts, batches, and the scoring.
    """

    task: str
    optimizer: str
    library: str
    rates: np.ndarray
    at: np.ndarray
    scores: np.ndarray
    seconds_compiling: float
    seconds_running: float


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two libraries' updates were apart along one trajectory, both being given the same gradients.

    difference: the largest distance of two updates, relative to the largest entry of the update, over all steps.
    bound: what it may be; a race with a larger one, or with one that is no number, fails. steps: at how many steps
    updates were compared; where there is none, nothing was shown, and that fails too.
    """

    task: str
    optimizer: str
    library: str
    steps: int
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the two were seen to do the same."""
        return self.steps > 0 and self.difference <= self.bound

    @property
    def excess(self) -> float:
        """The difference in units of its bound; infinite where that is no number, or nothing was compared."""
        return math.inf if math.isnan(self.difference) or not self.steps else self.difference / self.bound


@dataclasses.dataclass(frozen=True)
class NotCompared:
    """An optimizer that another library has by the same name, and that is no match for ours; reason: a sentence."""

    optimizer: str
    library: str
    reason: str


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """What the report says of a task; the fields are those of `Task`, and mean the same."""

    name: str
    about: str
    unit: str
    steps: int
    target: float
    lower_bound: float
    rates: int
    seeds: int
    sources: tuple[tuple[str, str], ...]
    hyperparameters: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    counted: bool = True


@dataclasses.dataclass(frozen=True)
class Results:
    """A whole race. machine: what it ran on, name -> text; versions of libraries among them. settings: its options.

    not_compared: what agreement was not asked of, and why. seconds: by the clock, the parts before an interruption too.
    """

    tasks: tuple[TaskInfo, ...]
    cells: tuple[Cell, ...]
    agreements: tuple[Agreement, ...]
    machine: dict[str, str]
    settings: dict[str, str]
    seconds: float
    not_compared: tuple[NotCompared, ...] = ()
