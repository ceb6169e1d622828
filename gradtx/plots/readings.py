"""Readings of `watch` over the steps, such as update-to-weight ratios: a line for each leaf or group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradtx.errors import describe, one_of, suggestion
from gradtx.plots.checking import array, ascending, some_finite
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import FAINT, QUIET, axes, color_scale, count_axis, halo, in_style, log_axis, looks_of, shades

if TYPE_CHECKING:
    from gradtx.inspection.readings import Readings

USUAL, BAND = 1e-3, 3.0  # the usual update-to-weight ratio, and the factor by which it may differ
NAMED = 12  # at most so many lines have labels; more have shades with a scale
FIELDS = {  # the label of each reading, with its unit, and the scale of its axis
    "grad_norm": ("norm of the gradient", "log"),
    "stage_norm": ("norm after {stage}", "log"),
    "update_rms": ("RMS of the update (per step)", "log"),
    "update_to_weight": ("|update| / |weight| (per step)", "log"),
    "cosine_to_gradient": ("cosine of −update and gradient", "cosine"),
    "cosine_to_previous": ("cosine with the update before", "cosine"),
    "sign_agreement": ("signs as in the update before", "share"),
    "clipped": ("entries clipped", "share"),
    "nonfinite": ("entries not finite", "share"),
    "zeros": ("entries that are 0", "share"),
    "second_moment_min": ("least second moment", "log"),
    "second_moment_max": ("greatest second moment", "log"),
}


def readings_over_time(
    readings: Readings, field: str, *, names: Any = None, stage: str | None = None, ax: Any = None
) -> Any:
    """Draw a reading over the steps, a line for each leaf or group, the first ones dark, the last ones bright.

    Args:
        readings: from `gradtx.readings(state)`.
        field: which: "update_to_weight", "grad_norm", "stage_norm", "update_rms", "cosine_to_gradient",
            "cosine_to_previous", "sign_agreement", "clipped", "nonfinite", "zeros", "second_moment_min" or
            "second_moment_max".
        names: the leaves or groups to draw; None: all.
        stage: for "stage_norm": after which member of the chain.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: TypeError: no readings. ValueError: no steps, an unknown name, or no finite number.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from matplotlib.figure import Figure
        >>> tx, w = gradtx.watch(gradtx.adam(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> _, state = tx.update(w, tx.init(w), w)
        >>> ax = gradtx.plots.readings_over_time(gradtx.readings(state), "update_rms", ax=Figure().subplots())
    """
    one_of(tuple(FIELDS), field=field)
    steps, chosen = steps_of(readings), places(readings, names)
    words, scale = FIELDS[field]
    values = np.asarray(getattr(readings, field), np.float64)
    if field == "stage_norm":
        if stage is None:
            raise ValueError(f"stage_norm needs a stage, one of {', '.join(map(repr, readings.stages))}")
        one_of(tuple(readings.stages), stage=stage)
        values = values[:, tuple(readings.stages).index(stage)]
    elif stage is not None:
        raise ValueError(f"stage is for stage_norm; {field} has none")
    values = array(field, values, len(steps), len(readings.names))[:, chosen]
    some_finite(field, values)
    lines = {readings.names[g]: values[:, k] for k, g in enumerate(chosen)}
    with in_style():
        ax = axes(ax)
        ax.grid(axis="y", color=FAINT)
        _draw_lines(ax, steps, lines)
        if scale == "log" and (values > 0).any():
            log_axis(ax, "y")
        if scale == "cosine":
            ax.set_ylim(-1.05, 1.05)
        if scale == "share":
            from matplotlib import ticker

            ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
            ax.set_ylim(0, max(1.05 * np.nanmax(values[np.isfinite(values)]), 0.01))
        step_axis(ax, steps)
        ax.set_ylabel(words.format(stage=stage))
    return ax


def ratios(readings: Readings, *, names: Any = None, ax: Any = None) -> Any:
    """Draw the ratio of update to weight over the steps, for each leaf or group.

    The band is the usual range, 1e-3 within a factor of 3. Far above it training tends to be unstable, far below it the
    layer hardly learns.

    Args:
        readings: from `gradtx.readings(state)`.
        names: the leaves or groups to draw; None: all.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: TypeError: no readings. ValueError: no steps, an unknown name, or no finite number.
    Source: Karpathy's rule of thumb, CS231n, Neural Networks Part 3: ratio of weights:updates.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from matplotlib.figure import Figure
        >>> tx, w = gradtx.watch(gradtx.adam(0.1), every=1), {"w": jnp.array([3.0, 4.0])}
        >>> _, state = tx.update(w, tx.init(w), w)
        >>> ax = gradtx.plots.ratios(gradtx.readings(state), ax=Figure().subplots())
    """
    ax = readings_over_time(readings, "update_to_weight", names=names, ax=ax)
    with in_style():
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, USUAL / BAND / 1.5), max(high, USUAL * BAND * 1.5))
        ax.axhspan(USUAL / BAND, USUAL * BAND, color="0.5", alpha=0.16, linewidth=0, zorder=0, label="_usual")
        ax.axhline(USUAL, color=QUIET, linewidth=0.8, zorder=1, label="_usual")
        word = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "fontsize": "small"}
        ax.annotate("usual: about 10⁻³", (0.01, USUAL), xytext=(0, 3), path_effects=halo(), zorder=4, **word)
    return ax


def steps_of(readings: Readings) -> np.ndarray:
    """The steps, ascending; an error if these are not readings, or have no steps."""
    if not hasattr(readings, "rate_counts"):
        raise TypeError(f"give what gradtx.readings(state) returns; got {describe(readings)}")
    found = np.asarray(readings.steps, np.float64)
    if not found.size:
        raise ValueError("readings holds no step: read the state after an update")
    steps = array("steps", found, "n")
    ascending("steps", steps)
    return steps


def places(readings: Readings, names: Any) -> list[int]:
    """The places of these leaves or groups; None: of all."""
    known = list(readings.names)
    wanted = known if names is None else [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"names has {name!r}{suggestion(str(name), known)}; there are {', '.join(map(repr, known))}"
            )
    if not wanted:
        raise ValueError("names is empty: give one at least, or None for all")
    return [known.index(name) for name in wanted]


def _draw_lines(ax: Any, steps: np.ndarray, lines: dict[str, np.ndarray]) -> None:
    if len(lines) <= NAMED:
        ends = []
        for (name, line), look in zip(lines.items(), looks_of(len(lines)), strict=True):
            mark = {"marker": look.marker if len(steps) == 1 else "", "label": name}
            ax.plot(steps, line, color=look.color, linestyle=look.dash, zorder=3, **mark)
            ends.append(End(_last(line), name, look.color))
        label_ends(ax, ends)
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colors = shades(len(lines))
    for (name, line), color in zip(lines.items(), colors, strict=True):
        ax.plot(steps, line, color=color, linewidth=0.9, zorder=3, label=name, linestyle="-")
    shade = ScalarMappable(Normalize(-0.5, len(lines) - 0.5), ListedColormap(colors))
    bar = color_scale(ax, shade, aspect=30)
    at = np.unique(np.linspace(0, len(lines) - 1, 6).round().astype(int))
    bar.set_ticks(list(at), labels=[list(lines)[i] for i in at])
    bar.ax.invert_yaxis()


def _last(line: np.ndarray) -> float:
    good = line[np.isfinite(line)]
    return float(good[-1]) if len(good) else float("nan")


def step_axis(ax: Any, steps: np.ndarray) -> None:
    """The horizontal axis over all steps; with one step, around it."""
    count_axis(ax.xaxis)
    ax.set(xlabel="step", xlim=(steps[0], steps[-1]) if len(steps) > 1 else (steps[0] - 1, steps[0] + 1))
