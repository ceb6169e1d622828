"""Schedules drawn with matplotlib: one, for `Schedule.plot`, which imports this when called, or several."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.schedule import Schedule, as_hyper, is_schedule
from gradtx.errors import whole
from gradtx.optional_imports import extra
from gradtx.plots.checking import entries
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import FAINT, axes, count_axis, in_style, looks_of

POINTS, LABEL = 2000, 90  # at most: points of a line, letters of a label


def plot(schedule: Schedule, steps: int | None = None, ax: Any = None, **line: Any) -> Any:
    """Draw the values at steps 0 to `steps` as a line, and return the Axes; see `Schedule.plot`."""
    with extra("plots"):
        from matplotlib import pyplot
    if steps is not None:
        whole(1, steps=steps)
    at, values = _drawn(schedule, steps or _shown(schedule))
    ax = pyplot.gca() if ax is None else ax
    ax.plot(at, values, **{"label": _short(repr(schedule), ax), **line})
    ax.set(xlabel=ax.get_xlabel() or "step", ylabel=ax.get_ylabel() or "value")
    if "label" not in line:
        _name(ax)
    return ax


def schedules(*given: Any, steps: int | None = None, ylabel: str = "learning rate", ax: Any = None) -> Any:
    """Draw several schedules together, each with its name at its end.

    Args:
        *given: schedules, or functions of the step; or one dict, label -> schedule. The default label is the name of
            the factory, with a number if several have the same: `cosine_decay_schedule 2`.
        steps: number of steps; None: as many as the longest needs, see `Schedule.plot`.
        ylabel: what the values are, with their unit.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: TypeError: an argument is not a schedule. ValueError: no arguments, or one that holds several schedules.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> cosine = gradtx.cosine_decay_schedule(0.1, decay_steps=1000)
        >>> ax = gradtx.plots.schedules({"cosine": cosine, "half": 0.5 * cosine}, steps=1200, ax=Figure().subplots())
    """
    if steps is not None:
        whole(1, steps=steps)
    named = _named(given)
    steps = steps or max(map(_shown, named.values()))
    with in_style():
        ax = axes(ax)
        ax.grid(axis="y", color=FAINT)
        ends = []
        for (label, schedule), look in zip(named.items(), looks_of(len(named)), strict=True):
            at, values = _drawn(schedule, steps)
            ax.plot(at, values, color=look.color, linestyle=look.dash, label=label)
            ends.append(End(float(values[-1]), label, look.color))
        count_axis(ax.xaxis)
        ax.set(xlabel="step", ylabel=ylabel, xlim=(0, steps))
        label_ends(ax, ends)
    return ax


def _named(given: tuple) -> dict[str, Schedule]:
    """The schedules by label: the caller's, or the names of their factories with numbers."""
    if len(given) == 1 and isinstance(given[0], dict):
        found = entries("schedules", given[0], "schedule")
        return {label: _schedule(repr(label), one) for label, one in found.items()}
    if not given:
        raise ValueError("schedules: give at least one schedule, or a dict, label -> schedule")
    found = [_schedule(str(k + 1), one) for k, one in enumerate(given)]
    names, labels = [one.name for one in found], []
    for k, name in enumerate(names):
        labels.append(name if names.count(name) == 1 else f"{name} {names[: k + 1].count(name)}")
    return dict(zip(labels, found, strict=True))


def _schedule(which: str, value: Any) -> Schedule:
    found = as_hyper(f"schedule {which}", value)
    if not is_schedule(found):
        raise TypeError(f"schedule {which} must be a schedule or a function of the step; got {value!r}")
    return found


def _name(ax: Any) -> None:
    """Name the lines: one by the title, several by a legend."""
    first, *others = (line.get_label() for line in ax.get_lines())
    if not others:
        ax.set_title(first, loc="left", fontsize="small")
        return
    if ax.get_title(loc="left") == first:
        ax.set_title("", loc="left")
    ax.legend(fontsize="small")


def _drawn(schedule: Schedule, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps, all or evenly spaced, and the values there."""
    at = np.unique(np.linspace(0, steps, min(steps + 1, POINTS)).astype(np.int32))
    values = np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step), float)))(at))
    if values.ndim != 1:
        raise ValueError(f"this {schedule.name} holds several schedules: take one, jax.tree.map(lambda x: x[0], it)")
    return at, values


def _shown(schedule: Schedule) -> int:
    """A few more steps than until the value stays constant, at most eight times the length of the schedule."""
    most = min(8 * math.ceil(_length("", schedule)) or 100, 2**31 - 1)
    at, values = _drawn(schedule, most)
    changes = np.flatnonzero(values != values[-1])
    return min(math.ceil(1.15 * at[changes[-1] + 1]), most) if len(changes) else most


def _length(name: str, argument: Any) -> float:
    """The sum of all steps in the arguments, also of the schedules inside."""
    if is_schedule(argument):
        return sum(_length(k, v) for k, v in argument.arguments.items())
    if isinstance(argument, dict):  # step -> factor
        return max(argument, default=0)
    if isinstance(argument, tuple):
        return sum(_length(name, x) for x in argument)
    return float(argument) if any(word in name for word in ("steps", "begin", "boundaries")) and argument else 0.0


def _short(text: str, ax: Any) -> str:
    """The beginning of a text that fits across the Axes in small letters, about 12 an inch."""
    letters = max(min(LABEL, int(12 * ax.get_window_extent().width / ax.figure.dpi)), 20)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
