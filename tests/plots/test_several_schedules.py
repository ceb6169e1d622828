"""Several schedules in one picture: the same numbers as `Schedule.plot` draws."""

import numpy as np
import pytest
from matplotlib import pyplot

import gradtx
from gradtx import plots
from tests.plots.seeing import line, overlapping, within, words

LINEAR = gradtx.linear_schedule(1.0, 0.0, 10)


def test_lines_are_those_of_the_schedules_own_plots():
    _, (left, right) = pyplot.subplots(1, 2)
    (own,) = LINEAR.plot(20, left).get_lines()
    assert plots.schedules({"down": LINEAR, "half": 0.5 * LINEAR}, steps=20, ax=right) is right
    np.testing.assert_array_equal(line(right, "down").get_xydata(), own.get_xydata())
    np.testing.assert_allclose(line(right, "half").get_ydata(), 0.5 * own.get_ydata(), rtol=1e-6)
    assert (right.get_xlabel(), right.get_ylabel(), right.get_xlim()) == ("step", "learning rate", (0, 20))


def test_names_are_beside_the_ends_and_apart():
    ax = plots.schedules(LINEAR, gradtx.linear_schedule(2.0, 0.0, 10), gradtx.cosine_decay_schedule(1.0, 10))
    boxes = words(ax)
    assert set(boxes) == {"linear_schedule 1", "linear_schedule 2", "cosine_decay_schedule"}
    assert not overlapping(boxes)
    assert within(boxes, ax.figure)


def test_as_many_steps_as_the_longest_needs():
    assert plots.schedules(LINEAR, gradtx.linear_schedule(1.0, 0.0, 100)).get_xlim() == (0, 115)


def test_functions_of_the_step():
    ax = plots.schedules({"halves": lambda step: 0.5**step}, steps=3)
    np.testing.assert_allclose(line(ax, "halves").get_ydata(), [1, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((), ValueError, "schedules: give at least one schedule, or a dict, label -> schedule"),
        (({},), ValueError, "schedules is empty"),
        ((LINEAR, 0.5), TypeError, "schedule 2 must be a schedule or a function of the step; got 0.5"),
        (({"a": "b"},), TypeError, "schedule 'a' must be a number, a scalar array or a schedule; got 'b'"),
        ((gradtx.linear_schedule,), TypeError, "did you forget to call it"),
    ],
)
def test_what_is_no_schedule(given, error, message):
    with pytest.raises(error, match=message):
        plots.schedules(*given)
