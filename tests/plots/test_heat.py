"""Heat maps: cells where they belong, the best one framed, what is not finite hatched, ticks that fit."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize

from gradtx import plots
from tests.plots.seeing import grey

RATES, DECAYS = [1e-3, 1e-2, 1e-1], [0.9, 0.99]
LOSSES = np.array([[0.9, 0.3, np.nan], [0.8, 0.2, 0.7]])


def ticks(axis):
    return dict(zip(axis.get_ticklocs(), [text.get_text() for text in axis.get_ticklabels()], strict=True))


def hatched(ax):
    return [patch.get_xy() for patch in ax.patches if patch.get_hatch()]


def framed(ax):
    return {patch.get_xy() for patch in ax.patches if not patch.get_fill()}


def test_cells_best_and_holes():
    ax = plots.heat_map(RATES, DECAYS, LOSSES, xlabel="learning rate", ylabel="b1", label="loss (nats)")
    np.testing.assert_array_equal(ax.collections[0].get_array().filled(np.nan), LOSSES)
    assert hatched(ax) == [(1.5, -0.5)]
    assert framed(ax) == {(0.5, 0.5)}
    assert ticks(ax.xaxis) == {0: "$10^{-3}$", 1: "$10^{-2}$", 2: "$10^{-1}$"}
    assert ticks(ax.yaxis) == {0: "0.9", 1: "0.99"}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.figure.axes[1].get_ylabel()) == ("learning rate", "b1", "loss (nats)")
    assert ax.get_title(loc="left") == "best: 0.2 (framed); hatched: not finite"
    assert sorted(text.get_text() for text in ax.texts) == ["0.2", "0.3", "0.7", "0.8", "0.9"]


def test_highest_words_and_infinity():
    ax = plots.heat_map(["a", "b"], ["c"], [[0.5, np.inf]], best="highest", numbers=False)
    assert framed(ax) == {(-0.5, -0.5)}
    assert hatched(ax) == [(0.5, -0.5)]
    assert list(ticks(ax.xaxis).values()) == ["a", "b"]
    assert not ax.texts


def test_brightness_says_the_value_in_grey():
    ax = plots.heat_map(range(9), ["a"], [np.arange(9.0)])
    image = ax.collections[0]
    assert (np.diff([grey(image.cmap(image.norm(x))) for x in range(9)]) > 0).all()
    for text in ax.texts:
        cell = grey(image.cmap(image.norm(float(text.get_text()))))
        assert abs(grey(text.get_color()) - cell) > 75


@pytest.mark.parametrize(
    ("values", "norm"), [([[1.0, 2.0]], Normalize), ([[1e-3, 2.0]], LogNorm), ([[0, 9]], Normalize)]
)
def test_colours_by_ratio_where_values_differ_widely(values, norm):
    assert type(plots.heat_map(["a", "b"], ["c"], values).collections[0].norm) is norm


@pytest.mark.parametrize(
    ("xs", "first", "last"),
    [
        (np.geomspace(1e-5, 1e-1, 9), "$10^{-5}$", "$10^{-1}$"),
        (np.linspace(0.001, 0.22, 40), "0.001", None),
        (np.geomspace(3e-5, 3e-1, 9), r"$3{\cdot}10^{-5}$", None),
        ([-1.0, 0.0, 1.0], "-1", "1"),
    ],
)
def test_ticks_fit_and_say_how_the_values_go(xs, first, last):
    ax = plots.heat_map(xs, ["a"], np.ones((1, len(xs))), numbers=False)
    ax.figure.draw_without_rendering()
    found = ticks(ax.xaxis)
    assert found[0] == first
    assert last is None or list(found.values())[-1] == last
    boxes = [text.get_window_extent() for text in ax.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("xs", "values", "how", "error", "message"),
    [
        (RATES, LOSSES.T, {}, ValueError, r"values must be an array \[2, 3\]; got the shape \(3, 2\)"),
        ([], LOSSES, {}, ValueError, r"xs must be an array \[n\]; got the shape \(0,\)"),
        (RATES, LOSSES * np.nan, {}, ValueError, "values holds no finite number"),
        (RATES, LOSSES, {"best": "least"}, ValueError, "best must be one of 'lowest', 'highest'; got 'least'"),
        ([None, 1, 2], LOSSES, {}, TypeError, "xs must be an array .* of real numbers"),
    ],
)
def test_what_cannot_be_drawn(xs, values, how, error, message):
    with pytest.raises(error, match=message):
        plots.heat_map(xs, DECAYS, values, **how)
