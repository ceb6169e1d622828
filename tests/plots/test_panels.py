"""A panel for each optimizer, and strips over the learning rate: what is drawn where."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh

from gradtx import plots

FAST, SLOW = np.array([[9.0, 2.0, 1.0], [9.0, 3.0, 1.0]]), np.array([[9.0, 8.0, np.nan], [9.0, 8.0, 7.0]])


def drawn(*shown, **more):
    how = {"ylim": (0.5, 10.0), "log": True, **more}
    return plots.panels(list(shown), [0, 10, 20], **how)


def test_a_line_a_band_and_the_others_in_grey():
    figure = drawn(plots.Panel("fast: 1", {"": FAST}, note="rate 0.1"), plots.Panel("slow", {"": SLOW}), target=2.0)
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["fast: 1", "rate 0.1"]
    line, target = first.lines
    np.testing.assert_allclose(line.get_ydata(), np.median(FAST, axis=0))
    assert set(target.get_ydata()) == {2.0}
    assert sum(isinstance(x, PolyCollection) for x in first.collections) == 1
    (grey,) = next(x for x in first.collections if isinstance(x, LineCollection)).get_segments()
    np.testing.assert_allclose(grey[:2, 1], [9.0, 8.0])
    assert second.lines[0].get_ydata()[-1] == 20.0  # half of the seeds diverged: the line leaves the panel
    assert [text.get_text() for text in figure.texts] == ["step", "loss", ""]


def test_several_lines_have_labels_and_the_best_is_bold():
    lines = {"0.1": FAST[:1], "1": SLOW[:1]}
    (ax,) = drawn(plots.Panel("adam", lines, best="0.1"), caption="one\ntwo").axes
    labels = [text for text in ax.texts if text.get_text() in ("0.1", "1 diverged")]
    assert [label.get_fontweight() for label in labels] == ["bold", "normal"]
    assert ax.lines[0].get_linewidth() > ax.lines[1].get_linewidth()


def test_nothing_to_draw_is_said_in_the_panel():
    first, second = drawn(plots.Panel("a", {}, note="at every rate"), plots.Panel("b", {"": FAST})).axes
    assert [text.get_text() for text in first.texts] == ["a", "at every rate"]
    assert not first.lines
    assert second.collections[0].get_segments() == []


@pytest.mark.parametrize("n", range(1, 31))
def test_panels_fit_their_grid_without_an_empty_row(n):
    rows, columns = plots.style.grid_of(n, range(min(n, 3), min(n, 5) + 1))
    assert columns <= 5
    assert 0 <= rows * columns - n < columns


def test_strips_have_a_field_a_rate_bars_rings_and_hatches():
    rates = [0.01, 0.1, 1.0]
    strips = {"adam": (rates, [[2.0], [1.0], [np.nan]]), "lost": (rates, [[np.inf]] * 3)}
    ax = plots.basin_strips(strips, enough=2.0, best={"adam": 0.01}).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["adam", "lost"]
    first, _ = (x for x in ax.collections if isinstance(x, QuadMesh))
    np.testing.assert_array_equal(first.get_array().filled(-1.0).ravel(), [2.0, 1.0, -1.0])
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2]
    rings = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(bars) == 2
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [(0.01, 0)]  # none for what is lost
    assert sum(isinstance(x, PolyCollection) and x.get_hatch() == "////" for x in ax.collections) == 4
    ring = plots.basin_strips({"adam": strips["adam"]}).axes[0].lines[-1]
    assert ring.get_xdata()[0] == 0.1
