"""Laws: functions of a case that return where it keeps them, and raise `BrokenError` with a sentence where not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gradtx.testing.case import Case
from gradtx.testing.compare import SkippedError


@dataclasses.dataclass(frozen=True)
class Law:
    """A law: its name, its sentence, how it is tried, whether it is for gradtx values alone, what it presupposes."""

    name: str
    sentence: str
    trial: Callable[[Case], None]
    values_only: bool
    after: tuple[str, ...]

    def __call__(self, case: Case) -> None:
        """Return where the case keeps the law; raise `BrokenError`, or `SkippedError` where the law does not apply."""
        if self.values_only and not case.is_value:
            raise SkippedError("for gradtx values only")
        self.trial(case)


def law(*, values_only: bool = False, after: tuple[str, ...] = ("traceable",)) -> Callable[[Callable], Law]:
    """Make a law of a function of a case; its docstring is its sentence.

    Args:
        values_only: the law makes no sense for transformations that are not gradtx values.
        after: laws without which this one is not tried, so that one fault is reported once.
    """

    def made(trial: Callable[[Case], None]) -> Law:
        sentence = " ".join((trial.__doc__ or "").split())
        return Law(trial.__name__, sentence, trial, values_only, after)

    return made
