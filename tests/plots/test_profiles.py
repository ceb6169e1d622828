"""Performance profiles, against their definition."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from matplotlib.figure import Figure

from gradtx import plots
from tests.plots.seeing import line, overlapping, words

INF = float("inf")
costs = st.one_of(st.integers(1, 9), st.just(INF))


@hypothesis.given(st.lists(st.tuples(costs, costs, costs), min_size=1, max_size=6))
def test_shares_are_as_defined(tasks):
    table = dict(zip("abc", np.array(tasks, float).T, strict=True))
    factors, shares = plots.profile(table)
    assert factors[0] == 1
    for label, own in table.items():
        for factor, share in zip(factors, shares[label], strict=True):
            solved = [
                mine < INF and mine <= factor * (1 + 1e-12) * min(task) for mine, task in zip(own, tasks, strict=True)
            ]
            assert share == np.mean(solved)
        assert shares[label][-1] == np.mean(own < INF)


def test_costs_of_zero_are_the_best_and_others_count_at_infinity_alone():
    factors, shares = plots.profile({"a": [0.0, 2.0], "b": [0.0, 1.0], "c": [1.0, 1.0]})
    np.testing.assert_array_equal(factors, [1, 2, INF])
    assert {k: list(v) for k, v in shares.items()} == {"a": [0.5, 1, 1], "b": [1, 1, 1], "c": [0.5, 0.5, 1]}
    factors, shares = plots.profile({"a": [0.0], "b": [INF]})  # which solves nothing, and never counts
    assert (list(factors), list(shares["a"]), list(shares["b"])) == ([1], [1], [0])


def test_what_is_solved_beside_a_cost_of_zero_is_a_step_at_the_right_end():
    costs = {"a": [0.0, 2.0], "c": [1.0, 1.0]}
    ax = plots.performance_profile(costs)
    right = ax.get_xlim()[1]
    np.testing.assert_allclose(line(ax, "c").get_xydata()[-2:, 0], right)
    assert line(ax, "c").get_ydata()[-1] == 1
    cut = plots.performance_profile(costs, limit=4.0, ax=Figure().subplots())
    x, y = line(cut, "c").get_data()
    assert y[np.searchsorted(x, 4.0, side="right") - 1] == 0.5


def test_steps_labels_and_ticks():
    ax = plots.performance_profile({"adam": [10, 40, 8], "sgd": [20, INF, 4]}, what="steps")
    right = ax.get_xlim()[1]
    np.testing.assert_allclose(line(ax, "adam").get_xydata().T, [[1, 2, right], [2 / 3, 1, 1]])
    np.testing.assert_allclose(line(ax, "sgd").get_xydata().T, [[1, 2, right], [1 / 3, 2 / 3, 2 / 3]])
    assert line(ax, "adam").get_drawstyle() == "steps-post"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps, as a multiple of the best", "tasks solved")
    assert list(words(ax)) == ["sgd", "adam"]
    assert not overlapping(words(ax))


@pytest.mark.parametrize("worst", [1.0, 3.0, 1e6])
def test_ticks_are_few_and_within(worst):
    ax = plots.performance_profile({"a": [1.0], "b": [worst]})
    ax.figure.draw_without_rendering()
    shown = [t for t in ax.get_xticks() if t <= ax.get_xlim()[1]]
    assert 1 <= len(shown) <= 8
    assert shown[0] == 1


def test_only_those_that_are_asked_for_have_names():
    ax = plots.performance_profile({"a": [1.0, 4.0], "b": [2.0, 2.0], "c": [3.0, INF]}, named=["b"])
    assert list(words(ax)) == ["b"]
    assert len(ax.lines) == 3


def test_a_limit_cuts_and_labels_where_the_line_is_then():
    ax = plots.performance_profile({"a": [1.0, 1.0], "b": [1.5, 100.0]}, limit=4.0)
    assert ax.get_xlim() == (1, 4)
    box = words(ax)["b"]
    middle = ax.transAxes.transform((0, 0.5))[1]
    assert box.y0 < middle < box.y1
    with pytest.raises(ValueError, match="limit must be above 1; got 1"):
        plots.performance_profile({"a": [1.0]}, limit=1)


def test_nobody_solves_anything():
    assert list(words(plots.performance_profile({"a": [INF], "b": [INF]}))) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "costs is empty"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "the costs of 'b' are of 2 tasks, those before of 1"),
        ({"a": [np.nan]}, "the costs of 'a' must be at least 0, and infinite for a task that was not solved"),
        ({"a": [-1.0]}, "the costs of 'a' must be at least 0"),
        ({"a": [[1.0]]}, r"the costs of 'a' must be an array \[tasks\]; got the shape \(1, 1\)"),
    ],
)
def test_what_is_no_table_of_costs(given, message):
    with pytest.raises(ValueError, match=message):
        plots.profile(given)
