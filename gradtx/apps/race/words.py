"""Numbers and lists as words, for tables, findings and pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from gradtx.apps.race.results import Results
from gradtx.apps.race.task import TaskInfo

NEVER, DIVERGED, NO_STEP = "never", "diverged", "no step was compared"


def number(x: float) -> str:
    """Three digits of a number, `never` for infinity, a dash for NaN.

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
    """Seconds, in s, ms or µs.

    >>> duration(0.0000123), duration(0.045), duration(61.234), duration(float("inf"))
    ('12.3 µs', '45 ms', '61.2 s', 'never')
    """
    if not math.isfinite(x) or x == 0:
        return number(x)
    factor, unit = (1.0, "s") if x >= 1 else (1e3, "ms") if x >= 1e-3 else (1e6, "µs")
    return f"{number(x * factor)} {unit}"


def error(x: float) -> str:
    """A difference, to two digits; a dash for NaN."""
    return f"{x:.1e}" if math.isfinite(x) else number(x)


def gap(x: float) -> str:
    """A final score; infinite if the run diverged."""
    return DIVERGED if math.isinf(x) else number(x)


def decades(width: float, more: bool) -> str:
    """The width of the range of good rates; with ≥ if an end of the range is good, so that it may be wider."""
    return ("≥ " if more else "") + f"{width:.2f}"


def count(n: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def series(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(words)
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def named(task: TaskInfo, optimizer: str) -> str:
    """The name of an optimizer, with the hyperparameters that this task sets for it.

    >>> reddi = TaskInfo("reddi", "", "", 1, 0.0, 1, 1, hyperparameters={"adam": {"b1": 0.9, "b2": 0.99}})
    >>> named(reddi, "adam"), named(reddi, "sgd")
    ('adam with b1 = 0.9 and b2 = 0.99', 'sgd')
    """
    overrides = task.hyperparameters.get(optimizer)
    return f"{optimizer} with {_settings(overrides)}" if overrides else optimizer


def about_overrides(task: TaskInfo) -> str:
    """Sentences about the hyperparameters that a task sets, and about a task that does not count; else empty."""
    alike: dict[str, list[str]] = {}
    for name, overrides in task.hyperparameters.items():
        if overrides:
            alike.setdefault(_settings(overrides), []).append(name)
    who = "; ".join(f"{series(names)} with {settings}" for settings, names in alike.items())
    found = [f"Set for this task: {who}; all others race with their own settings."] if who else []
    if not task.counted:
        found.append("It is built so that one method fails, so it does not count in comparisons over tasks.")
    return " ".join(found)


def left_out(results: Results) -> list[str]:
    """A sentence that names the tasks that do not count in comparisons over tasks; none if all count."""
    names = [task.name for task in results.tasks if not task.counted]
    are, they = ("are", "they do") if len(names) > 1 else ("is", "it does")
    why = f"{are} built so that one method fails, so {they} not count in comparisons over tasks"
    return [f"{series(names)} {why}."] if names else []


def _settings(overrides: Mapping[str, float]) -> str:
    return series(f"{name} = {value}" for name, value in overrides.items())
