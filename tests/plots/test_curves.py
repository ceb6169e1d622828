"""Races: the median of the seeds and their spread; what diverges is said, and does not spoil the rest."""

import pickle

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgba

from gradtx import plots
from tests.plots.seeing import grey, line, overlapping, within, words

RUNS = np.array([[8.0, 4.0, 2.0], [8.0, 5.0, 1.0], [8.0, 6.0, 3.0]])


def band(ax, k=0):
    """The lowest and the highest height of a band at each time."""
    points = ax.collections[k].get_paths()[0].vertices
    return np.array([[f(points[points[:, 0] == t, 1]) for f in (np.min, np.max)] for t in np.unique(points[:, 0])]).T


class TestLines:
    def test_median_and_band(self):
        ax = plots.races({"adam": RUNS})
        np.testing.assert_array_equal(line(ax, "adam").get_xydata().T, [[0, 1, 2], [8, 5, 2]])
        np.testing.assert_array_equal(band(ax), [[8, 4, 1], [8, 6, 3]])
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss")

    def test_a_part_of_the_seeds_and_one_seed(self):
        ax = plots.races({"adam": RUNS}, spread=0.5)
        np.testing.assert_allclose(band(ax), np.quantile(RUNS, [0.25, 0.75], axis=0))
        _, ax = pyplot.subplots()
        plots.races({"adam": RUNS[:1]}, ax=ax)
        assert not ax.collections

    def test_two_seeds_have_their_mean_in_the_middle(self):
        np.testing.assert_array_equal(line(plots.races({"a": RUNS[:2]}), "a").get_ydata(), [8, 4.5, 1.5])

    def test_seconds_for_all_and_for_each(self):
        ax = plots.races({"a": RUNS, "b": RUNS[:, :2]}, at={"a": [0, 2, 4], "b": [0, 1]}, xlabel="seconds")
        np.testing.assert_array_equal(line(ax, "a").get_xdata(), [0, 2, 4])
        np.testing.assert_array_equal(line(ax, "b").get_xdata(), [0, 1])
        assert ax.get_xlim() == (0, 4)
        _, ax = pyplot.subplots()
        plots.races({"a": RUNS}, at=[10, 20, 30], ax=ax)
        np.testing.assert_array_equal(line(ax, "a").get_xdata(), [10, 20, 30])

    def test_lines_differ_in_shade_dash_and_marker_and_in_grey(self):
        ax = plots.races({name: RUNS + k for k, name in enumerate("abcde")})
        lines = [line(ax, name) for name in "abcde"]
        assert (np.diff([grey(one.get_color()) for one in lines]) > 0).all()
        assert len({one.get_linestyle() + one.get_marker() for one in lines}) == 5
        assert to_rgba(lines[0].get_color()) == to_rgba(ax.collections[0].get_facecolor()[0][:3])


class TestLabels:
    def test_beside_their_ends_and_apart(self):
        ends = {"adam": 1.0, "adamw": 1.001, "nesterov": 1.002, "sgd": 3.0}
        ax = plots.races({name: [[9.0, 2.0, end]] for name, end in ends.items()}, target=1.5)
        boxes = {name: box for name, box in words(ax).items() if name != "target"}
        assert list(boxes) == list(ends)
        assert not overlapping(boxes)
        assert within(boxes, ax.figure)
        assert "target" in words(ax)


class TestDivergence:
    LOST = np.array([[8.0, 50.0, np.nan], [8.0, 1e30, np.inf], [8.0, 9.0, 7.0]])

    def test_an_infinite_median_leaves_at_the_top_and_is_named(self):
        ax = plots.races({"adam": RUNS, "lost": self.LOST}, log=False)
        assert ax.get_ylim()[1] < 60
        assert line(ax, "lost").get_ydata()[-1] > ax.get_ylim()[1]
        assert list(words(ax)) == ["adam", "lost, diverged"]

    def test_one_lost_seed_of_three_is_in_the_band_alone(self):
        runs = np.where(np.arange(3)[:, None] == 0, np.nan, RUNS)
        ax = plots.races({"adam": runs, "sgd": RUNS})
        np.testing.assert_array_equal(line(ax, "adam").get_ydata(), np.median(np.where(np.isnan(runs), 1e9, runs), 0))
        assert band(ax)[1].min() > ax.get_ylim()[1]

    def test_all_lost_at_the_end(self):
        ax = plots.races({"lost": self.LOST[:2]})
        ax.figure.draw_without_rendering()
        assert list(words(ax)) == ["lost, diverged"]


def test_a_loss_of_zero_leaves_a_logarithmic_axis_below():
    ax = plots.races({"a": [[100.0, 1.0, 0.0], [100.0, 2.0, 0.0]]})
    assert ax.get_yscale() == "log"
    assert 0 < line(ax, "a").get_ydata()[-1] < ax.get_ylim()[0]
    assert (band(ax) > 0).all()
    ax.figure.draw_without_rendering()


def test_figures_can_be_pickled():
    figure = pickle.loads(pickle.dumps(plots.races({"a": RUNS}).figure))
    assert list(words(figure.axes[0])) == ["a"]


@pytest.mark.parametrize(("factor", "scale"), [(10, "linear"), (1000, "log")])
def test_the_scale_follows_the_losses(factor, scale):
    assert plots.races({"a": [[1.0 * factor, 1.0]]}).get_yscale() == scale


@pytest.mark.parametrize(
    ("curves", "how", "message"),
    [
        ({}, {}, r"curves is empty: give at least one entry, label -> \[seeds, n\]"),
        ({"a": [1.0, 2.0]}, {}, r"the curves of 'a' must be an array \[seeds, n\]; got the shape \(2,\)"),
        ({"a": np.zeros((0, 3))}, {}, r"got the shape \(0, 3\)"),
        ({"a": [[np.nan, np.inf]]}, {}, "curves holds no finite number"),
        ({"a": RUNS}, {"at": [0, 1]}, r"at must be an array \[3\]; got the shape \(2,\)"),
        ({"a": RUNS}, {"at": [0, 2, 1]}, "at must be finite and ascending; got 0, 2, 1"),
        ({"a": RUNS}, {"at": {"b": [0, 1, 2]}}, "at must have the labels of curves, a; it has b"),
        ({"a": RUNS}, {"spread": 2.0}, r"spread must be in \[0, 1\]; got 2.0"),
        ({"a": -RUNS}, {"log": True}, "log: no loss is positive; give log=False"),
    ],
)
def test_what_cannot_be_drawn(curves, how, message):
    with pytest.raises(ValueError, match=message):
        plots.races(curves, **how)
