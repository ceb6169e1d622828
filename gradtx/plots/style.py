"""The look of all pictures: sizes, shades with dashes and markers, ticks; and reproducible files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradtx.errors import describe
from gradtx.optional_imports import extra

DASHES = ("-", (0, (5, 1.2)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHADES, BRIGHTEST = "viridis", 0.75  # above it a line is hard to see on white paper
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
FAINT, QUIET = "0.90", "0.45"  # greys: of grids, and of words that explain
CONTRAST = 4.5  # of words with white, as WCAG asks

SETTINGS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlelocation": "left",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "figure.figsize": (4.8, 3.2),
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "gradtx",
}


class Look(NamedTuple):
    """The shade, dash and marker of a line. Each of them alone is enough to tell lines apart."""

    color: Any
    dash: Any
    marker: str


@contextmanager
def in_style() -> Iterator[None]:
    """A context in which matplotlib draws in the style of gradtx; figures made in it have constrained layout.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> with gradtx.plots.in_style():
        ...     ax = Figure().subplots()
        >>> ax.spines["top"].get_visible()
        False
    """
    with extra("plots"):
        import matplotlib
        from cycler import cycler
    looks = looks_of(len(DASHES))
    cycle = cycler(color=[look.color for look in looks]) + cycler(linestyle=DASHES)
    with matplotlib.rc_context({**SETTINGS, "axes.prop_cycle": cycle}):
        yield


def shades(n: int) -> np.ndarray:
    """Colours from dark to bright, `[n, 4]`, which differ in lightness, so that they differ in grey too."""
    with extra("plots"):
        import matplotlib
    return matplotlib.colormaps[SHADES](np.linspace(0.0, BRIGHTEST, n))


def looks_of(n: int) -> list[Look]:
    """The looks of n lines. Dashes and markers have different periods, so few lines share both."""
    return [Look(tuple(c), DASHES[k % len(DASHES)], MARKERS[k % len(MARKERS)]) for k, c in enumerate(shades(n))]


def lightness(color: Any) -> float:
    """The relative luminance of a colour, from 0 for black to 1 for white: its brightness when printed in grey."""
    from matplotlib.colors import to_rgb

    rgb = np.asarray(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def ink(color: Any) -> tuple[float, float, float]:
    """The colour, darkened so that words in it are readable on white."""
    from matplotlib.colors import to_rgb

    r, g, b = to_rgb(color)
    while 1.05 / (lightness((r, g, b)) + 0.05) < CONTRAST:
        r, g, b = 0.95 * r, 0.95 * g, 0.95 * b
    return r, g, b


def halo(width: float = 2.5) -> list[Any]:
    """The `path_effects` of words and marks on lines and colours: a white rim."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width, foreground="white"), Normal()]


def axes(ax: Any) -> Any:
    """These Axes, or pyplot's current ones if None, without a frame at the top and right."""
    if ax is None:
        with extra("plots"):
            from matplotlib import pyplot
        ax = pyplot.gca()
    if not hasattr(ax, "spines"):
        raise TypeError(f"ax must be matplotlib Axes, as figure.subplots() gives; got {describe(ax)}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def grid_of(panels: int, widths: Iterable[int]) -> tuple[int, int]:
    """Rows and columns for panels: the width with the fewest empty places, of ties the wider."""
    columns = min(widths, key=lambda width: (-panels % width, -width))
    return -(-panels // columns), columns


def color_scale(ax: Any, mappable: Any, label: str = "", **how: Any) -> Any:
    """Draw the scale of colours at the right of these Axes; returns the Colorbar."""
    bar = ax.figure.colorbar(mappable, ax=ax, label=label, **{"aspect": 18, **how})
    bar.outline.set_visible(False)
    return bar


def count_axis(axis: Any) -> None:
    """Ticks for counts, such as steps: whole numbers, thousands as 1k, millions as 1M."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.set_major_formatter(ticker.EngFormatter(sep=""))


def log_axis(ax: Any, which: str) -> None:
    """Make the axis x or y logarithmic. Values that are not positive are not drawn."""
    from matplotlib import ticker

    getattr(ax, f"set_{which}scale")("log", nonpositive="mask")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(ticker.LogLocator(numticks=7))
    axis.set_minor_locator(ticker.LogLocator(subs=range(2, 10), numticks=7))
    axis.set_minor_formatter(ticker.LogFormatterSciNotation(minor_thresholds=(1.2, 0.5)))


def many_decades(values: Any, factor: float = 20.0) -> bool:
    """Whether values need a logarithmic axis: none is negative, and the positive ones differ by more than a factor."""
    finite = np.asarray(values)[np.isfinite(values)]
    positive = finite[finite > 0]
    return bool(len(positive) and finite.min() >= 0 and positive.max() > factor * positive.min())


def save(figure: Any, path: Any, *, dpi: float = 200.0) -> Path:
    """Write a figure into a file, with the same bytes each time: without date and program name.

    Args:
        figure: a matplotlib Figure.
        path: of the file; its suffix says which format: `.png`, `.svg`, `.pdf`.
        dpi: dots per inch, of a PNG.

    Returns: the path, as a `pathlib.Path`.
    Raises: ValueError: another suffix. OSError: the file cannot be written.
    """
    with extra("plots"):
        import matplotlib

    path = Path(path)
    metadata: dict[str, dict[str, Any]] = {
        ".png": {"Software": "gradtx"},
        ".svg": {"Creator": "gradtx", "Date": None},
        ".pdf": {"Creator": "gradtx", "Producer": "gradtx", "CreationDate": None},
    }
    if path.suffix not in metadata:
        raise ValueError(f"path must end in {', '.join(metadata)}; got {path.name!r}")
    with matplotlib.rc_context({key: SETTINGS[key] for key in ("pdf.fonttype", "svg.hashsalt")}):
        figure.savefig(path, dpi=dpi, metadata=metadata[path.suffix])
    return path
