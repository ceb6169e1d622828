"""Schedules drawn with matplotlib; `Schedule.plot` imports this when it is called."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.errors import whole
from gradtx.core.schedule import Schedule, is_schedule
from gradtx.extras import extra

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


def _name(ax: Any) -> None:
    """Say what the lines are: one by the title, several by a legend."""
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
    """As many steps as show how it goes: a little more than until the value stays, at most eight of its lengths."""
    most = min(8 * math.ceil(_length("", schedule)) or 100, 2**31 - 1)
    at, values = _drawn(schedule, most)
    changes = np.flatnonzero(values != values[-1])
    return min(math.ceil(1.15 * at[changes[-1] + 1]), most) if len(changes) else most


def _length(name: str, argument: Any) -> float:
    """The sum of all the steps that the call names, those of the schedules inside it too."""
    if is_schedule(argument):
        return sum(_length(k, v) for k, v in argument.arguments.items())
    if isinstance(argument, dict):  # step -> factor
        return max(argument, default=0)
    if isinstance(argument, tuple):
        return sum(_length(name, x) for x in argument)
    return float(argument) if any(word in name for word in ("steps", "begin", "boundaries")) and argument else 0.0


def _short(text: str, ax: Any) -> str:
    """The beginning of a text, as long as a line of small letters across the Axes, some 12 an inch."""
    letters = max(min(LABEL, int(12 * ax.get_window_extent().width / ax.figure.dpi)), 20)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
