"""Labels at the ends of lines, instead of a legend. Labels that would overlap are moved apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradtx.plots.style import ink

SPACING, BESIDE = 1.2, 7.0  # between labels, in heights of a letter; between the Axes and the labels, in points


class End(NamedTuple):
    """The end of a line.

    value: there; a label is at the top if it is not finite. text: the label. at: the place along the other axis; None:
    the right edge of the Axes.
    """

    value: float
    text: str
    color: Any
    bold: bool = False
    at: float | None = None


def apart(heights: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Move ascending heights apart by a gap, within bounds, so that the sum of squared moves is smallest.

    Without the gaps below them the heights must not descend. The nearest such numbers are means of neighbours, clipped
    at the bounds (isotonic regression). If there is not enough room, they extend equally beyond both bounds.

    Example:
        >>> from gradtx.plots.labels import apart
        >>> apart([0.5, 0.5, 1.0], gap=0.25)
        [0.375, 0.625, 1.0]
    """
    blocks: list[tuple[float, int]] = []  # the mean of neighbours, and how many they are
    for k, height in enumerate(heights):
        mean, n = height - k * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, m = blocks.pop()
            mean, n = (before * m + mean * n) / (m + n), m + n
        blocks.append((mean, n))
    ceiling = high - (len(heights) - 1) * gap
    if ceiling < low:
        low = ceiling = 0.5 * (low + ceiling)
    bases = [min(max(mean, low), ceiling) for mean, n in blocks for _ in range(n)]
    return [base + k * gap for k, base in enumerate(bases)]


def label_ends(ax: Any, ends: Sequence[End], *, size: float | None = None) -> list[Any]:
    """Write the label of each line right of the Axes, at the height of its end, with a thin line to it.

    The places are computed when the figure is drawn, from its size and the limits of the axis at that time.

    Args:
        ax: the Axes.
        ends: of the lines.
        size: of the letters, in points; None: as the ticks.

    Returns: the annotations, in the order of the ends.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    points = FontProperties(size=rcParams["ytick.labelsize"] if size is None else size).get_size_in_points()
    column = _Column(ax, tuple(ends), points)
    leader = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    return [
        ax.annotate(
            end.text,
            (0, 0),
            xycoords=_Place(column, k, moved=False),
            xytext=(0, 0),
            textcoords=_Place(column, k, moved=True),
            va="center",
            color=ink(end.color),
            fontsize=points,
            fontweight="bold" if end.bold else "normal",
            arrowprops={**leader, "color": ink(end.color)},
            annotation_clip=False,
        )
        for k, end in enumerate(ends)
    ]


@dataclasses.dataclass(frozen=True)
class _Column:
    """All labels of one Axes."""

    ax: Any
    ends: tuple[End, ...]
    points: float


@dataclasses.dataclass(frozen=True)
class _Place:  # no tuple: matplotlib would take it for two systems of coordinates
    """The place of a label (moved), or of the end of its line. matplotlib calls it when it draws."""

    column: _Column
    k: int
    moved: bool

    def __call__(self, renderer: Any) -> Any:
        from matplotlib.transforms import Affine2D

        ax, points = self.column.ax, self.column.points
        box, pixels = ax.get_window_extent(renderer), ax.figure.dpi / 72
        ends = [_height(ax, box, float(end.value)) for end in self.column.ends]
        if not self.moved:
            at = self.column.ends[self.k].at
            x = box.x1 if at is None else ax.transData.transform((at, sum(ax.get_ylim()) / 2))[0]
            return Affine2D().translate(min(max(x, box.x0), box.x1), ends[self.k])
        order = np.argsort(ends, kind="stable")
        margin = 0.5 * points * pixels
        heights = apart([ends[i] for i in order], SPACING * points * pixels, box.y0 - margin, box.y1 + margin)
        return Affine2D().translate(box.x1 + BESIDE * pixels, heights[list(order).index(self.k)])


def _height(ax: Any, box: Any, value: float) -> float:
    """The height of a value in pixels, within the Axes."""
    if not np.isfinite(value):
        return box.y0 if value == -np.inf else box.y1
    with np.errstate(all="ignore"):
        height = ax.transData.transform((0.5 * sum(ax.get_xlim()), value))[1]
    return float(np.clip(height, box.y0, box.y1)) if np.isfinite(height) else box.y0  # 0 on a logarithmic axis
