"""What a task gives to some of its optimizers in place of their own hyperparameters, in words."""

from __future__ import annotations

from collections.abc import Iterable

from gradtx.apps.race.results import Results, TaskInfo


def named(task: TaskInfo, optimizer: str) -> str:
    """The name of an optimizer, with the hyperparameters that this task gives it.

    Example:
        >>> reddi = TaskInfo("reddi", "", "", 1, 0.0, 0.0, 1, 1, (), {"adam": {"b1": 0.9, "b2": 0.99}})
        >>> named(reddi, "adam"), named(reddi, "sgd")
        ('adam with b1 = 0.9 and b2 = 0.99', 'sgd')
    """
    given = task.hyperparameters.get(optimizer)
    return f"{optimizer} with {_settings(given)}" if given else optimizer


def about_given(task: TaskInfo) -> str:
    """Sentences on who races with which settings, and whether the task counts over tasks; nothing where it is usual."""
    alike: dict[str, list[str]] = {}
    for name, given in task.hyperparameters.items():
        if given:
            alike.setdefault(_settings(given), []).append(name)
    who = "; ".join(f"{series(names)} with {settings}" for settings, names in alike.items())
    found = [f"Set for this task: {who}; all others race with their own settings."] if who else []
    if not task.counted:
        found.append("It is built so that one method fails, and is left out of all that is counted over tasks.")
    return " ".join(found)


def left_out(results: Results) -> str:
    """A sentence that names the tasks that do not count over tasks; nothing where all do."""
    names = [task.name for task in results.tasks if not task.counted]
    if not names:
        return ""
    are, they = ("are", "they are") if len(names) > 1 else ("is", "it is")
    return f"{series(names)} {are} built so that one method fails: {they} left out of all that is counted over tasks."


def series(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(words)
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _settings(given: dict[str, float]) -> str:
    return series(f"{name} = {value}" for name, value in given.items())
