"""What is read off a race, against numbers worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest

from gradtx.apps.race import measures, overall
from gradtx.apps.race.findings import chance
from gradtx.apps.race.overall import comparisons, curve_difference
from gradtx.plots.profiles import performance_ratios
from tests.apps.race.made_up import NOWHERE, cell, results, seeds, small, task

INF = math.inf


class TestGaps:
    def test_scores_are_counted_above_the_bound_and_never_below_it(self):
        found = measures.gaps(cell("a", [[-0.5, -1.0, -1.0000001]], rates=[0.1]), -1.0)
        np.testing.assert_array_equal(found, [[[0.5, 0.0, 0.0]]])

    def test_what_is_not_finite_has_diverged(self):
        assert (measures.gaps(cell("a", [NOWHERE] * 3), 0.0)[:, :, 1:] == INF).all()

    def test_half_of_the_seeds_diverged_is_diverged(self):
        ends = measures.final_gaps(cell("a", [seeds(1.0, INF), seeds(1.0, 2.0)], rates=[0.1, 1.0]), 0.0)
        np.testing.assert_array_equal(ends, [INF, 1.5])


class TestSteps:
    def test_half_of_the_seeds_must_have_been_there(self):
        # at step 10: one of four; at step 20: two of four
        scores = [[[1, 0.1, 0.1], [1, 1, 0.1], [1, 1, 1], [1, 1, 1]]]
        assert measures.steps_to(cell("a", scores, rates=[0.1]), 0.1) == 20
        assert measures.steps_to(cell("a", np.array(scores)[:, 1:], rates=[0.1]), 0.1) == INF  # one of three

    def test_a_seed_that_was_there_and_left_counts(self):
        assert measures.steps_to(cell("a", [[1.0, 0.1, INF]], rates=[0.1]), 0.2) == 10

    def test_at_the_start(self):
        assert measures.steps_to(cell("a", [[0.1, 5.0, 5.0]], rates=[0.1]), 0.1) == 0

    @pytest.mark.parametrize("bad", [np.nan, INF, -INF])
    def test_what_is_not_finite_reaches_nothing(self, bad):
        assert measures.steps_to(cell("a", [[1.0, bad, bad]], rates=[0.1]), 0.1) == INF


class TestRates:
    def test_the_best_ends_lowest_in_the_median(self):
        c = cell("a", [seeds(0.2, 0.2, 0.2), seeds(0.1, 0.15, 9.0), seeds(0.0, 0.3, 0.4)])
        assert measures.best_rate(c, task()) == 1

    def test_of_equal_ends_the_first_there_then_the_least(self):
        slow, fast = [1.0, 0.5, 0.0], [1.0, 0.0, 0.0]
        assert measures.best_rate(cell("a", [slow, fast, fast]), task()) == 1
        assert measures.fastest_rate(cell("a", [[1.0, 0.1, 0.1], fast, fast]), task()) == 1  # then the lower end

    def test_the_fastest_is_not_always_the_best(self):
        c = cell("a", [[1.0, 0.5, 0.001], [1.0, 0.09, 0.05], [1.0, 1.0, 1.0]])
        assert (measures.best_rate(c, task()), measures.fastest_rate(c, task())) == (0, 1)

    def test_all_diverged(self):
        c = cell("a", [NOWHERE] * 3)
        assert measures.best_rate(c, task()) is None
        assert measures.fastest_rate(c, task()) is None


class TestSeconds:
    def test_the_share_of_one_training_and_of_its_steps(self):
        # 9 seconds for 3 rates of 3 seeds: one second each, for 20 steps
        c = cell("a", [seeds(0.2, 0.2, 0.2)] * 3, running=9.0)
        assert measures.seconds_of_one(c, 20) == 1.0
        assert measures.seconds_of_one(c, 5) == 0.25

    def test_a_standing_has_both(self):
        (found,) = measures.standings(results([task()], [cell("a", [seeds(0.2, 0.05, 0.05)] * 3)]), task())
        assert (found.steps, found.seconds, found.compiled) == (10, 0.5, 2.5)


class TestDecades:
    RATES = np.array([0.001, 0.01, 0.1, 1.0])

    @pytest.mark.parametrize(
        ("good", "width", "more"),
        [
            ([0, 0, 0, 0], 0.0, False),
            ([0, 1, 0, 0], 1.0, False),
            ([0, 1, 1, 0], 2.0, False),
            ([1, 0, 0, 0], 0.5, True),
            ([1, 1, 1, 1], 3.0, True),
            ([1, 0, 0, 1], 1.0, True),
        ],
    )
    def test_each_rate_stands_for_half_of_the_way_to_its_neighbours(self, good, width, more):
        found, is_open = measures.decades(self.RATES, np.array(good, bool))
        assert (found, is_open) == (pytest.approx(width), more)

    def test_uneven_rates(self):
        assert measures.decades(np.array([1.0, 10.0, 1000.0]), np.array([False, True, False]))[0] == 1.5

    def test_one_rate_has_no_width(self):
        assert measures.decades(np.array([0.1]), np.array([True])) == (0.0, True)

    def test_what_is_good_is_decided_by_the_target_where_the_best_is_near_zero(self):
        assert measures.good_enough(task(target=0.1), 1e-12) == 0.1
        assert measures.good_enough(task(target=-0.9, bound=-1.0), 0.0) == pytest.approx(0.1)

    def test_and_by_the_best_where_nobody_reaches_the_target(self):
        assert measures.good_enough(task(target=0.1), 2.0) == pytest.approx(2.1)
        assert measures.good_enough(task(target=0.1), INF) == 0.1

    def test_the_best_of_the_task_counts_not_ones_own(self):
        a = cell("a", [seeds(2.0), seeds(2.05), seeds(9.0)])
        b = cell("b", [seeds(3.0), seeds(3.0), seeds(3.0)])
        wide, none = measures.standings(results([task()], [a, b]), task())
        assert (wide.decades, wide.open, none.decades) == (1.5, True, 0.0)


class TestStandings:
    @pytest.mark.parametrize(
        ("ends", "final"),
        [((3.0, 1.0, 2.0), (2.0, 1.0, 3.0)), ((4.0,), (4.0, 4.0, 4.0)), ((1.0, INF, 2.0), (2.0, 1.0, INF))],
    )
    def test_the_final_score_is_the_median_and_the_range(self, ends, final):
        (found,) = measures.standings(results([task()], [cell("a", [seeds(*ends)] * 3)]), task())
        assert found.final == final

    def test_the_lowest_end_first_and_what_diverged_last(self):
        cells = [cell("z", [NOWHERE] * 3), cell("b", [seeds(0.3, 0.2, 0.1)] * 3), cell("a", [seeds(0.1, 0.1, 0.1)] * 3)]
        found = measures.standings(results([task()], cells), task())
        assert [s.cell.optimizer for s in found] == ["a", "b", "z"]
        assert found[1].final == (0.2, 0.1, 0.3)
        assert (found[2].best, found[2].final.median, found[2].steps, found[2].compiled) == (None, INF, INF, INF)

    def test_a_tie_is_broken_by_steps_then_by_name(self):
        slow, fast = [[1.0, 0.5, 0.0]] * 3, [[1.0, 0.0, 0.0]] * 3
        cells = [cell("c", slow), cell("b", fast), cell("a", fast, library="optax"), cell("a", fast)]
        found = measures.standings(results([task()], cells), task())
        assert [(s.cell.optimizer, s.cell.library) for s in found][:3] == [
            ("a", "gradtx"),
            ("a", "optax"),
            ("b", "gradtx"),
        ]

    def test_the_start_is_that_of_all(self):
        assert measures.start_gap(small(), small().tasks[1]) == 1.0
        assert measures.start_gap(results([task()], []), task()) == INF


class TestProfiles:
    COSTS = np.array([[10.0, 40.0, INF, 0.0], [20.0, 10.0, INF, 0.0], [INF, 11.0, INF, INF]])

    def test_ratios_are_to_the_least_of_each_task(self):
        np.testing.assert_array_equal(
            performance_ratios(self.COSTS), [[1, 4, INF, 1], [2, 1, INF, 1], [INF, 1.1, INF, INF]]
        )

    def test_a_task_that_nobody_solves_counts_for_nobody(self):
        np.testing.assert_array_equal(overall.share_within(1.0, self.COSTS), [2 / 4, 2 / 4, 0])
        np.testing.assert_array_equal(overall.share_within(2.0, self.COSTS), [2 / 4, 3 / 4, 1 / 4])
        np.testing.assert_array_equal(overall.share_within(1e9, self.COSTS), [3 / 4, 3 / 4, 1 / 4])

    def test_one_that_begins_at_the_target_is_first_and_others_solve_it_too(self):
        costs = np.array([[0.0, 5.0], [10.0, 5.0], [INF, 5.0]])
        np.testing.assert_array_equal(performance_ratios(costs), [[1, 1], [INF, 1], [INF, 1]])
        np.testing.assert_array_equal(overall.share_within(1e300, costs), [1, 1 / 2, 1 / 2])
        np.testing.assert_array_equal(overall.share_within(INF, costs), [1, 1, 1 / 2])

    def test_ranks_share_ties(self):
        np.testing.assert_array_equal(overall.ranks(self.COSTS)[:, 2:], [[2, 1.5], [2, 1.5], [2, 3]])

    def test_nothing_to_compare(self):
        assert overall.share_within(1.0, np.zeros((2, 0))).tolist() == [0, 0]
        assert performance_ratios(np.zeros((0, 3))).shape == (0, 3)


class TestBoard:
    def test_a_full_grid_and_who_is_not_in_it(self):
        fine = [seeds(0.5, 0.5, 0.5)] * 3
        names, tasks = ("a", "b", "c"), (task("one"), task("two"), task("rare"))
        cells = [cell(n, fine, on=t.name) for n in names for t in tasks[:2] if (n, t.name) != ("c", "two")]
        cells += [cell("a", fine, on="rare")]
        found = overall.board(results(tasks, cells))
        assert [t.name for t in found.tasks] == ["one", "two"]
        assert found.optimizers == ("a", "b")
        assert found.left_out == {"c": ("two",)}
        assert found.skipped == ("rare",)
        assert found.steps.shape == found.finals.shape == found.widths.shape == (2, 2)

    def test_ours_stands_for_an_optimizer_of_several_libraries(self):
        low, high = [seeds(0.1, 0.1, 0.1)] * 3, [seeds(0.5, 0.5, 0.5)] * 3
        ours = results([task()], [cell("a", low, library="optax"), cell("a", high)])
        assert overall.board(ours).finals.tolist() == [[0.5]]
        others = results([task()], [cell("a", high, library="torch"), cell("a", low, library="optax")])
        assert overall.board(others).finals.tolist() == [[0.1]]

    def test_ends_below_the_resolution_of_the_start_are_equal(self):
        cells = [cell("a", [seeds(1e-12, start=4.0)] * 3), cell("b", [seeds(1e-9, start=4.0)] * 3)]
        found = overall.board(results([task()], cells))
        np.testing.assert_array_equal(found.finals, 4 * np.finfo(np.float32).eps)

    def test_a_task_on_which_one_is_made_to_fail_does_not_count(self):
        tasks = (task("one"), dataclasses.replace(task("trap"), counted=False))
        cells = [cell(n, [seeds(0.5)] * 3, on=t.name) for n in "ab" for t in tasks]
        found = overall.board(results(tasks, cells))
        assert [t.name for t in found.tasks] == ["one"]
        assert found.skipped == ()
        assert overall.board(results(tasks[1:], cells[1::2])).optimizers == ()

    def test_nothing_ran(self):
        assert overall.board(results([task()], [])).steps.shape == (0, 0)


class TestComparisons:
    def test_the_difference_and_the_seconds(self):
        (found,) = comparisons(small())
        assert found[:3] == ("bowl", "adam", "optax")
        assert found.difference == pytest.approx(0.001)  # at the start, 1 against 1.001
        assert (found.running, found.compiling) == (0.9, 2.0)

    def test_what_cannot_be_compared_is_nan_and_what_diverged_alone_infinite(self):
        a = cell("a", [[1.0, 0.5, 0.1]], rates=[0.1])
        other_rates = cell("a", [[1.0, 0.5, 0.1]], rates=[0.2], library="optax")
        diverged = cell("a", [[1.0, 0.5, np.nan]], rates=[0.1], library="optax")
        assert math.isnan(curve_difference(a, other_rates, task(), 1.0))
        assert math.isnan(curve_difference(diverged, a, task(), 1.0))
        assert curve_difference(a, diverged, task(), 1.0) == INF

    def test_no_seconds_no_ratio(self):
        pair = [cell("a", [[1.0, 1.0, 1.0]] * 3), cell("a", [[1.0, 1.0, 1.0]] * 3, library="optax", running=0.0)]
        assert math.isnan(comparisons(results([task()], pair))[0].running)


def test_the_sign_test():
    assert chance(0, 0) == 1.0
    assert chance(3, 0) == chance(0, 3) == 0.25
    assert chance(8, 1) == pytest.approx(2 * (1 + 9) / 512)
