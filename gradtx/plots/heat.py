"""A table of results over two hyperparameters, as colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradtx.errors import one_of
from gradtx.plots.checking import array, some_finite
from gradtx.plots.style import QUIET, SEQUENTIAL, axes, color_scale, in_style, lightness, many_decades

TICKS, WRITTEN, FRAMED = 12, 80, 400  # at most: names on an axis, cells with numbers, cells with edges
LOG = 30.0  # the ratio of values that asks for a logarithmic scale


def heat_map(
    xs: Any,
    ys: Any,
    values: Any,
    *,
    xlabel: str = "",
    ylabel: str = "",
    label: str = "loss",
    best: str = "lowest",
    numbers: bool | None = None,
    ax: Any = None,
) -> Any:
    """Draw values over two hyperparameters as colours. The best cell is framed, cells that are not finite are hatched.

    All cells have the same size, whether the hyperparameters increase by steps or by factors.

    Args:
        xs, ys: the hyperparameters, `[columns]` and `[rows]`: numbers, or words.
        values: `[rows, columns]`.
        xlabel, ylabel: what the hyperparameters are, with their units.
        label: what the values are, with their unit.
        best: "lowest" or "highest".
        numbers: write the values into the cells; None: if there are at most 80.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes, with the scale of colours at its right.
    Raises: ValueError, TypeError: the shapes do not fit; no value is finite.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> losses = [[0.9, 0.3, float("nan")], [0.8, 0.2, 0.7]]
        >>> names = {"xlabel": "learning rate", "ylabel": "b1"}
        >>> ax = gradtx.plots.heat_map([1e-3, 1e-2, 1e-1], [0.9, 0.99], losses, **names, ax=Figure().subplots())
    """
    one_of(("lowest", "highest"), best=best)
    columns, rows = _names("xs", xs), _names("ys", ys)
    table = array("values", values, len(rows), len(columns))
    some_finite("values", table)
    good = np.isfinite(table)
    numbers = table.size <= WRITTEN if numbers is None else numbers
    place = np.argmin(np.where(good, table, np.inf)) if best == "lowest" else np.argmax(np.where(good, table, -np.inf))
    y, x = np.unravel_index(place, table.shape)
    with in_style():
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.patches import Rectangle

        ax = axes(ax)
        finite = table[good]
        scale = LogNorm if finite.min() > 0 and many_decades(finite, LOG) else Normalize
        edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
        shown, norm = np.ma.masked_invalid(table), scale(finite.min(), finite.max())
        image = ax.pcolormesh(
            *edges, shown, cmap=SEQUENTIAL, norm=norm, edgecolors="white", linewidth=0.4 * (table.size <= FRAMED)
        )
        for row, column in np.argwhere(~good):
            corner = (column - 0.5, row - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor=QUIET, hatch="////", linewidth=0))
        for color, width in (("white", 4.0), ("black", 1.8)):
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=color, linewidth=width, zorder=4))
        if numbers:
            words = [[_short(x) if np.isfinite(x) else "" for x in row] for row in table]
            write_in_cells(ax, image, np.array(words))
        box = ax.get_window_extent()
        lines = box.height / ax.figure.dpi * 72 / 14, box.width / ax.figure.dpi * 72 / 5
        for axis, names, room in ((ax.yaxis, rows, lines[0]), (ax.xaxis, columns, lines[1] / (_longest(columns) + 2))):
            at = _ticks(names, int(min(max(room, 2), TICKS)))
            axis.set_ticks(at, [names[i] for i in at])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        words = f"best: {_short(table[y, x])} (framed)" + ("; hatched: not finite" if not good.all() else "")
        ax.set_title(words, fontsize="small", color=QUIET)
        color_scale(ax, image, label)
    return ax


def _names(name: str, given: Any) -> list[str]:
    """The values of a hyperparameter as text, with powers of ten if they increase by factors."""
    words = np.asarray(given)
    if words.ndim == 1 and words.size and words.dtype.kind == "U":
        return [str(word) for word in words]
    numbers = array(name, given, "n")
    some_finite(name, numbers)
    if len(numbers) < 2 or numbers.min() <= 0 or numbers.max() < 10 * numbers.min():
        return [f"{x:.3g}" for x in numbers]
    steps, factors = np.abs(np.diff(numbers)), np.abs(np.diff(np.log(numbers)))
    by_factors = factors.max() * steps.min() < steps.max() * factors.min()
    return [_power(x) if by_factors else f"{x:.3g}" for x in numbers]


def _power(x: float) -> str:
    exponent = int(np.floor(np.log10(x) + 1e-9))
    digits = f"{x / 10.0**exponent:.2g}"
    return f"$10^{{{exponent}}}$" if digits == "1" else f"${digits}{{\\cdot}}10^{{{exponent}}}$"


def _ticks(names: list[str], most: int) -> list[int]:
    """Which names to write: all if there is room, else the powers of ten if there are some, else every few."""
    if len(names) <= most:
        return list(range(len(names)))
    powers = [i for i, name in enumerate(names) if name.startswith("$10^")]
    among = powers if len(powers) > 1 else list(range(len(names)))
    return among[:: -(-len(among) // most)]


def _longest(names: list[str]) -> int:
    """The width of the longest name in letters; an exponent is small."""
    return max(len(name) if not name.startswith("$") else 4 if name.startswith("$10") else 8 for name in names)


def _short(x: float) -> str:
    return f"{x:.3g}"


def write_in_cells(ax: Any, image: Any, words: np.ndarray, fontsize: float = 7) -> None:
    """Write words `[rows, columns]` into the cells of an image, in white on dark ones; the cells are at 0, 1, 2, ..."""
    colors = image.to_rgba(image.get_array().reshape(words.shape))
    for row, column in np.argwhere(words != ""):
        color = "black" if lightness(colors[row, column][:3]) > 0.18 or not colors[row, column][3] else "white"
        ax.text(column, row, words[row, column], ha="center", va="center", fontsize=fontsize, color=color)
