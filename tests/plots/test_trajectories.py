"""Paths on contours: what is drawn is what was given, in colours that get brighter with time."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import gradtx
from gradtx import plots
from gradtx.plots.surface import RINGS, heights, levels, view
from tests.plots.seeing import grey, line, overlapping, within, words

PATH = np.stack([np.linspace(-15, 0, 9), np.linspace(20, 0, 9)], axis=1)


def bowl(w):
    return 3.0 * w[0] ** 2 + 10.0 * w[1] ** 2


def rosenbrock(w):
    return (1.0 - w[0]) ** 2 + 100.0 * (w[1] - w[0] ** 2) ** 2


def grid(x, y):
    return np.stack(np.meshgrid(np.linspace(*x, 101), np.linspace(*y, 101)), axis=-1)


class TestSurface:
    def test_rings_of_a_quadratic_are_equally_far_apart(self):
        found = levels(heights(bowl, grid((-10, 10), (-10, 10))))
        radii = np.sqrt(found[found < 280])  # those that lie within the square
        np.testing.assert_allclose(np.diff(radii), np.diff(radii).mean(), rtol=0.06)

    def test_the_valley_of_rosenbrock_has_rings(self):
        values = heights(rosenbrock, grid((-2, 2), (-1, 3)))
        found = levels(values)
        assert len(found) == RINGS
        assert (found < 10).sum() >= 3
        assert found[-1] > 100

    def test_levels_do_not_depend_on_the_scale(self):
        values = heights(rosenbrock, grid((-2, 2), (-1, 3)))
        np.testing.assert_allclose(levels(1e-9 * values + 5), 1e-9 * levels(values) + 5, rtol=1e-12)

    def test_plateaus_and_holes(self):
        assert len(levels(np.zeros((5, 5)))) == 0
        holed = np.where(np.arange(100.0) < 50, np.nan, np.arange(100.0))
        assert (levels(holed) > 50).all()

    def test_view_holds_the_paths_but_not_what_flies_away(self):
        (left, right), (bottom, top) = view(bowl, {"a": PATH, "b": np.array([[-15, 20], [1e9, 0], [np.nan, 0]])})
        assert left < -15 < 0 < right < 20
        assert bottom < 0 < 20 < top < 40

    def test_view_of_one_point_is_a_surrounding(self):
        (left, right), (bottom, top) = view(bowl, {"a": np.ones((1, 2))})
        assert left < 1 < right
        assert bottom < 1 < top


class TestPicture:
    def test_a_panel_for_each_path_with_its_name_start_and_end(self):
        figure = plots.trajectories(bowl, {"one": PATH, "two": PATH[:4]})
        one, two, key = figure.axes
        assert [ax.get_title(loc="left") for ax in (one, two)] == ["one", "two"]
        assert one.get_xlabel() == "$w_1$"
        assert one.get_ylabel() == "$w_2$"
        np.testing.assert_array_equal(line(one, "start").get_xydata(), PATH[:1])
        np.testing.assert_array_equal(line(two, "end").get_xydata(), PATH[3:4])
        assert key.get_xlabel() == "step"
        assert pyplot.get_fignums() == [figure.number]

    def test_brighter_with_time_also_in_grey(self):
        ax = plots.trajectories(bowl, {"one": PATH}).axes[0]
        (way,) = [c for c in ax.collections if isinstance(c, LineCollection)]
        np.testing.assert_allclose([s[0] for s in way.get_segments()], PATH[:-1])
        ax.figure.draw_without_rendering()
        assert (np.diff([grey(color) for color in way.get_colors()]) > 0).all()

    def test_scaling_terms_below(self):
        terms = np.exp(PATH)
        figure = plots.trajectories(bowl, {"a": PATH, "b": PATH}, scalings={"a": terms}, scaling_name="√s")
        _, _, course, empty = figure.axes
        for i in range(2):
            np.testing.assert_allclose(line(course, f"$w_{i + 1}$").get_ydata(), terms[:, i])
        assert (course.get_ylabel(), course.get_xlabel(), course.get_yscale()) == ("√s", "step", "log")
        assert list(words(empty)) == ["no scaling"]
        assert set(words(course)) == {"$w_1$", "$w_2$"}
        assert not overlapping(words(course))
        assert within(words(course), figure)

    def test_terms_that_are_0_at_the_start_or_everywhere(self):
        terms = np.concatenate([np.zeros((1, 2)), np.exp(PATH[1:])])
        figure = plots.trajectories(bowl, {"a": PATH}, scalings={"a": terms})
        assert figure.axes[1].get_ylim()[0] > 0
        plots.trajectories(bowl, {"a": PATH}, scalings={"a": np.zeros((9, 2))}).draw_without_rendering()
        plots.trajectories(bowl, {"a": PATH}, scalings={"a": np.full((9, 2), np.nan)}).draw_without_rendering()

    def test_a_path_that_diverges_ends_in_a_cross(self):
        broken = np.array([[-15.0, 20.0], [-10.0, 5.0], [np.nan, 1.0], [0.0, 0.0]])
        ax = plots.trajectories(bowl, {"a": broken}).axes[0]
        np.testing.assert_array_equal(line(ax, "diverged").get_xydata(), [[-10, 5]])
        assert "diverged at step 2" in words(ax)
        assert "end" not in [one.get_label() for one in ax.get_lines()]

    def test_more_than_a_row_long_paths_and_one_point(self):
        spiral = np.stack([np.cos(np.arange(5000.0)), np.sin(np.arange(5000.0))], axis=1)
        paths = {"spiral": spiral, "point": PATH[:1], **{str(k): PATH for k in range(3)}}
        figure = plots.trajectories(bowl, paths)
        assert len(figure.axes) == 6
        (way,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
        assert len(way.get_segments()) < 2000
        figure.draw_without_rendering()

    def test_limits_and_figure_of_yours(self):
        mine = Figure(layout="constrained")
        figure = plots.trajectories(bowl, {"a": PATH}, limits=((-20, 20), (-30, 30)), figure=mine)
        assert figure is mine
        assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == ((-20, 20), (-30, 30))
        assert pyplot.get_fignums() == []

    def test_a_trajectory_and_functions_with_holes(self):
        course = plots.trajectory(gradtx.sgd(0.01), bowl, [-15.0, 20.0], 5)
        plots.trajectories(bowl, {"a": course})
        plots.trajectories(
            lambda w: jnp.log(w[0]) + w[1] ** 2, {"a": [[1.0, 1.0], [0.1, 0.5]]}, limits=((-1, 1), (0, 1))
        )
        plots.trajectories(lambda w: 1 / w[0] + w[1] ** 2, {"a": [[0.0, 1.0], [0.1, 0.5]]})
        plots.trajectories(lambda w: jnp.zeros(()), {"a": PATH}).draw_without_rendering()


@pytest.mark.parametrize(
    ("function", "paths", "how", "error", "message"),
    [
        (bowl, {}, {}, ValueError, "paths is empty: give at least one entry"),
        (bowl, [PATH], {}, TypeError, "paths must be a dict, label -> a path"),
        (bowl, {1: PATH}, {}, TypeError, "the keys of paths must be labels, as str; got 1"),
        (bowl, {"a": PATH.T}, {}, ValueError, r"the path of 'a' must be an array \[n, 2\]; got the shape \(2, 9\)"),
        (bowl, {"a": [[1, 2], [3]]}, {}, ValueError, "the path of 'a' must be .* rows of different lengths"),
        (bowl, {"a": "path"}, {}, TypeError, r"the path of 'a' must be an array \[n, 2\] of real numbers; got 'path'"),
        (bowl, {"a": PATH * np.nan}, {}, ValueError, r"the path of 'a' must be finite at its start"),
        (lambda w: w[0] * w[2], {"a": PATH}, {}, ValueError, "function must be of 2 variables"),
        (lambda w: jnp.log(-1 - w[0] ** 2), {"a": PATH}, {}, ValueError, "function is nowhere finite within"),
        (
            bowl,
            {"a": PATH},
            {"scalings": {"b": PATH}},
            ValueError,
            "scalings has 'b', which is not a label of paths: 'a'",
        ),
        (bowl, {"a": PATH}, {"scalings": {"a": PATH[1:]}}, ValueError, r"the scaling of 'a' must be an array \[9, 2\]"),
        (bowl, {"a": PATH}, {"limits": (0, 1)}, ValueError, r"limits must be \(\(left, right\), \(bottom, top\)\)"),
        (bowl, {"a": PATH}, {"limits": ((1, 0), (0, 1))}, ValueError, "finite and ascending"),
    ],
)
def test_what_cannot_be_drawn(function, paths, how, error, message):
    with pytest.raises(error, match=message):
        plots.trajectories(function, paths, **how)
