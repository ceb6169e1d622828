"""Labels stand beside their lines, in the order of the lines, and never one upon another."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from matplotlib import pyplot

from gradtx import plots
from gradtx.plots.labels import End, apart, label_ends
from tests.plots.seeing import overlapping, within, words

heights = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(sorted)


class TestApart:
    @hypothesis.given(heights, st.floats(0.0, 0.12))
    def test_gaps_bounds_and_order(self, given, gap):
        found = apart(given, gap)
        assert (np.diff(found) >= gap - 1e-12).all()
        assert found[0] >= -1e-12
        assert found[-1] <= 1 + 1e-12

    @hypothesis.given(heights, st.integers(0, 2**32 - 1))
    def test_no_others_are_nearer(self, given, seed):
        """A step towards any other admissible heights leads away from those wished for: the problem is convex."""
        found, gap = np.array(apart(given, 0.1)), 0.1
        others = np.sort(np.random.default_rng(seed).uniform(0, 1 - gap * (len(given) - 1), len(given)))
        toward = others + gap * np.arange(len(given)) - found
        assert np.dot(found - given, toward) >= -1e-9

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([0.2, 0.5, 0.9], [0.2, 0.5, 0.9]),
            ([0.5, 0.5], [0.45, 0.55]),
            ([0.0, 0.0], [0.0, 0.1]),
            ([1.0, 1.0, 1.0], [0.8, 0.9, 1.0]),
        ],
    )
    def test_by_hand(self, given, expected):
        np.testing.assert_allclose(apart(given, 0.1), expected, atol=1e-12)

    def test_without_room_they_stand_out_at_both_ends_alike(self):
        np.testing.assert_allclose(apart([0.5] * 5, 0.5), [-0.5, 0.0, 0.5, 1.0, 1.5])

    def test_none(self):
        assert apart([], 0.1) == []


@pytest.fixture
def ax():
    with plots.in_style():
        _, ax = pyplot.subplots(figsize=(3, 2))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax


class TestLabels:
    NAMES = ("one", "two", "three", "four", "five")

    @pytest.mark.parametrize("size", [(3, 2), (6, 5), (2, 1.4)])
    def test_they_do_not_overlap_at_any_size(self, ax, size):
        label_ends(ax, [End(0.5 + 0.001 * k, name, "black") for k, name in enumerate(self.NAMES)])
        ax.set(title="later", xlabel="later")
        ax.figure.set_size_inches(size)
        boxes = words(ax)
        assert not overlapping(boxes)
        assert list(boxes) == list(self.NAMES)
        assert within(boxes, ax.figure)

    def test_they_stand_beside_the_ends(self, ax):
        label_ends(ax, [End(0.75, "high", "black"), End(0.25, "low", "black")])
        boxes = words(ax)
        box = ax.get_window_extent()
        for name, value in (("low", 0.25), ("high", 0.75)):
            assert 0.5 * (boxes[name].y0 + boxes[name].y1) == pytest.approx(box.y0 + value * box.height, abs=2)
            assert boxes[name].x0 > box.x1

    def test_what_is_not_in_the_axes_is_at_its_edges(self, ax):
        ends = {"nan": np.nan, "above": 7.0, "middle": 0.5, "below": -3.0, "lowest": -np.inf}
        label_ends(ax, [End(value, name, "black") for name, value in ends.items()])
        boxes = words(ax)
        box = ax.get_window_extent()
        assert list(boxes)[2] == "middle"
        assert set(list(boxes)[3:]) == {"nan", "above"}
        assert boxes["below"].y0 < box.y0 + 12
        assert not overlapping(boxes)

    def test_zero_on_a_logarithmic_axis_is_at_the_bottom(self, ax):
        ax.set(yscale="log", ylim=(0.01, 1))
        label_ends(ax, [End(0.0, "zero", "black"), End(0.1, "middle", "black")])
        assert list(words(ax)) == ["zero", "middle"]

    def test_a_line_leads_to_the_end_where_it_is(self, ax):
        (label,) = label_ends(ax, [End(0.5, "short", "black", at=0.25)])
        words(ax)
        x, y = ax.transData.inverted().transform(label.arrow_patch.get_path().vertices[-1])
        assert (x, y) == (pytest.approx(0.25, abs=0.02), pytest.approx(0.5, abs=0.02))

    def test_bold_and_size(self, ax):
        label, other = label_ends(ax, [End(0.5, "a", "yellow", bold=True), End(0.1, "b", "black")], size=5)
        assert (label.get_fontweight(), other.get_fontweight(), label.get_fontsize()) == ("bold", "normal", 5.0)
