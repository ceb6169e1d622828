"""Basins: which learning rates are near the best, and what diverged."""

import numpy as np
import pytest

from gradtx import plots
from gradtx.plots.basins import Basin
from tests.plots.seeing import line, overlapping, words

RATES = [0.001, 0.01, 0.1, 1.0]
LOSSES = np.array([[4.0, 4.2, 4.4], [1.02, 1.0, 1.04], [1.0, 0.9, 1.1], [np.nan, np.inf, 2.0]])


class TestRange:
    def test_by_hand(self):
        assert plots.basin(RATES, LOSSES) == Basin(best=0.1, low=0.01, high=0.1)
        assert plots.basin(RATES, LOSSES, within=0.0) == Basin(0.1, 0.1, 0.1)
        assert plots.basin(RATES, LOSSES, within=5.0) == Basin(0.1, 0.001, 0.1)

    def test_a_bound_makes_it_narrower(self):
        assert plots.basin(RATES, LOSSES, lower_bound=0.9) == Basin(0.1, 0.1, 0.1)
        with pytest.raises(
            ValueError, match=r"the best loss is 1, below lower_bound=2: give a bound that no loss is below"
        ):
            plots.basin(RATES, LOSSES, lower_bound=2.0)

    def test_what_lies_beyond_a_ridge_does_not_count(self):
        assert plots.basin(RATES, [[1.0], [3.0], [1.0], [1.01]]) == Basin(0.001, 0.001, 0.001)

    def test_all_diverged(self):
        assert plots.basin([0.1], [[np.nan]]) is None


class TestPicture:
    def test_medians_and_what_is_near(self):
        ax = plots.basins({"adam": (RATES, LOSSES)})
        ceiling = ax.get_ylim()[1]
        np.testing.assert_allclose(line(ax, "adam").get_xydata().T, [RATES, [4.2, 1.02, 1.0, ceiling]])
        np.testing.assert_array_equal(line(ax, "_near").get_xdata(), [0.01, 0.1])
        np.testing.assert_array_equal(line(ax, "_best").get_xdata(), [0.1])
        np.testing.assert_array_equal(line(ax, "_diverged").get_xydata(), [[1.0, ceiling]])
        assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "learning rate", "final loss")
        assert "within 5 % of the best" in ax.get_title(loc="left")

    def test_the_line_does_not_run_along_the_ceiling(self):
        ax = plots.basins({"adam": (RATES, [[1.0], [np.nan], [np.nan], [np.nan]])})
        assert np.isnan(line(ax, "adam").get_ydata()[2:]).all()
        assert len(line(ax, "_diverged").get_xdata()) == 3

    def test_a_bar_that_ends_with_the_rates_has_an_arrow(self):
        ax = plots.basins({"adam": (RATES, LOSSES), "sgd": (RATES, [[1.0], [2.0], [3.0], [4.0]])})
        assert [text.get_text() for text in ax.texts if text.get_text() in "←→"] == ["←"]

    def test_bars_lie_below_the_curves_and_labels_apart(self):
        results = {name: (RATES, LOSSES[:, :1] + 1e-3 * k) for k, name in enumerate(("a", "b", "c", "d"))}
        ax = plots.basins(results)
        low = ax.transAxes.inverted().transform(ax.transData.transform((0.01, 1.0)))[1]
        assert all(one.get_ydata()[0] < low for one in ax.get_lines() if one.get_label() == "_near")
        assert not overlapping(words(ax))

    def test_one_rate_one_seed_and_losses_at_zero(self):
        plots.basins({"adam": ([0.1], [[0.0]])}).figure.draw_without_rendering()

    def test_a_logarithmic_axis_where_losses_differ_widely(self):
        assert plots.basins({"a": (RATES, [[1.0], [0.1], [0.001], [9.0]])}).get_yscale() == "log"

    def test_a_loss_of_zero_asks_for_no_logarithm(self):
        assert plots.basins({"a": (RATES, [[0.0], [0.1], [0.001], [9.0]])}).get_yscale() == "linear"

    def test_one_loss_far_above_all_others_is_off_the_scale(self):
        ax = plots.basins({"a": (RATES, [[1.0], [1.5], [2.0], [1e20]])})
        assert ax.get_ylim()[1] < 100
        assert len(line(ax, "_diverged").get_xdata()) == 1


@pytest.mark.parametrize(
    ("results", "how", "message"),
    [
        ({}, {}, "results is empty"),
        ({"a": LOSSES}, {}, r"the results of 'a' must be \(rates \[n\], losses \[n, seeds\]\); got ndarray"),
        ({"a": (RATES, LOSSES[:3])}, {}, r"losses of 'a' must be an array \[4, seeds\]; got the shape \(3, 3\)"),
        ({"a": (RATES[::-1], LOSSES)}, {}, "rates of 'a' must be finite and ascending; got 1, 0.1, 0.01, 0.001"),
        ({"a": ([0.0, 1.0], LOSSES[:2])}, {}, "rates of 'a' must be greater than 0"),
        ({"a": (RATES, LOSSES * np.nan)}, {}, "results holds no finite number"),
        ({"a": (RATES, LOSSES - 1.0)}, {"log": True}, "log: every loss must be positive"),
        ({"a": (RATES, LOSSES)}, {"within": -1.0}, "within must be finite and at least 0"),
        ({"a": (RATES, LOSSES - 3.0)}, {}, "the best loss of 'a' is -2, below lower_bound=0"),
    ],
)
def test_what_cannot_be_drawn(results, how, message):
    with pytest.raises(ValueError, match=message):
        plots.basins(results, **how)
