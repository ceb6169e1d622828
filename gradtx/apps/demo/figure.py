"""The result of a race as a picture: a panel for each optimizer, a line for each of its rates."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradtx.apps.demo.train import Curves
from gradtx.optional_imports import extra
from gradtx.plots.labels import End, label_ends
from gradtx.plots.style import DASHES, grid_of

CAPTION = (
    "Learning 8×8 digits. At the lines' ends: the learning rate; bold: the one most accurate on test at the end, with "
    "that accuracy above."
)
CAPTION_OF_GREY = "Grey: the other optimizers, each at its bold rate."
FLOOR = 1e-7  # losses below this, a rounding error of float32, leave the panel


def draw(curves: Mapping[str, Curves], path: Path, *, full_batch: Collection[str] = ()) -> None:
    """Write the curves of the loss as a PNG, readable without colour too: shade, dashes and labels say the same.

    Args:
        curves: by the optimizer's name.
        path: of the file.
        full_batch: the names of the optimizers that took one step an epoch.
    """
    with extra("demo"):
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    rows, columns = _grid(len(curves))
    width = 2.35 if columns > 2 else 3.2
    size = (width * columns + 0.4, 0.85 * width * rows + 0.9)
    captions = [CAPTION, *[CAPTION_OF_GREY] * (len(curves) > 1)]
    caption = "\n".join(textwrap.fill(line, int(15 * size[0])) for line in captions)
    with matplotlib.rc_context({"font.size": 8.5, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=size, dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        limits = _limits(curves)
        for ax, name in zip(axes, curves, strict=False):
            _panel(ax, name, curves, limits)
            c = curves[name]
            batches = " (full batches)" if name in full_batch else ""
            ax.tick_params(labelbottom=True)
            ax.set_title(f"{name}{batches}: {c.test_accuracy[c.ranking[0], -1]:.1%}", fontsize=9, loc="left")
        for ax in axes[len(curves) :]:
            ax.set_visible(False)
        figure.suptitle(caption, fontsize=8.5, x=0.01, ha="left")
        figure.supxlabel("epochs", fontsize=9)
        figure.supylabel("loss on training (nats per example)", fontsize=9)
        figure.savefig(path, metadata={"Software": "gradtx"})


def _grid(panels: int) -> tuple[int, int]:
    """Rows and columns: at most five columns, as few empty places as can be, and the wider of two."""
    return grid_of(panels, range(min(panels, 3), min(panels, 5) + 1))


def _panel(ax: Any, name: str, curves: Mapping[str, Curves], limits: tuple[float, float]) -> None:
    import matplotlib
    from matplotlib import ticker

    c = curves[name]
    epochs = np.arange(c.train_loss.shape[1])
    for other in curves:
        if other != name:
            ax.plot(epochs, curves[other].train_loss[curves[other].ranking[0]], color="0.86", linewidth=0.7, zorder=1)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.78, len(c.rates)))
    best, ends = c.ranking[0], []
    for place, i in enumerate(np.argsort(c.rates)):
        line, shade = c.train_loss[i], shades[place]
        width = 2.0 if i == best else 1.1
        ax.plot(epochs, line, color=shade, linewidth=width, linestyle=DASHES[place % len(DASHES)], zorder=3)
        if np.isfinite(line[-1]):
            ends.append(End(line[-1], f"{c.rates[i]:g}", shade, bool(i == best)))
        else:
            ends.append(End(np.inf, f"{c.rates[i]:g} diverged", shade, bool(i == best)))
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    ax.set_xlim(0, epochs[-1])
    ax.set_ylim(limits)
    ax.grid(axis="y", color="0.93", linewidth=0.6, zorder=0)
    label_ends(ax, ends, size=7.5)


def _limits(curves: Mapping[str, Curves]) -> tuple[float, float]:
    """The range of losses to show: from the lowest to twice the first; what rises above leaves the panel."""
    lowest = min(float(np.nanmin(c.train_loss)) for c in curves.values())
    first = float(next(iter(curves.values())).train_loss[0, 0])
    return float(np.clip(0.7 * lowest, FLOOR, 0.09)), 2.0 * first  # two labelled ticks at least, 0.1 and 1
