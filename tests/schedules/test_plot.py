"""`Schedule.plot`: what is drawn, how far, what it is called; and what is said where matplotlib is not installed."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

matplotlib = pytest.importorskip("matplotlib", reason="install the extra: pip install -e '.[plots]'")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


class TestLine:
    def test_every_step_and_its_value(self):
        schedule = gradtx.linear_schedule(1.0, 0.0, 10)
        (line,) = schedule.plot(20).get_lines()
        np.testing.assert_array_equal(line.get_xdata(), np.arange(21))
        np.testing.assert_allclose(line.get_ydata(), [float(schedule(t)) for t in range(21)], rtol=1e-6)

    def test_many_steps_are_sampled(self):
        (line,) = gradtx.linear_schedule(1.0, 0.0, 10**9).plot(2 * 10**9).get_lines()
        steps, values = line.get_data()
        assert len(steps) == 2000
        assert (steps[0], steps[-1]) == (0, 2 * 10**9)
        np.testing.assert_allclose(values, np.maximum(1 - steps / 1e9, 0), atol=1e-6)

    def test_it_is_drawn_where_asked_and_as_asked(self):
        _, (left, right) = pyplot.subplots(1, 2)
        schedule = gradtx.linear_schedule(1.0, 0.0, 10)
        assert schedule.plot(5, left, color="red", label="rate") is left
        (line,) = left.get_lines()
        assert (line.get_color(), line.get_label()) == ("red", "rate")
        assert left.get_title(loc="left") == ""
        assert schedule.plot(5) is right  # pyplot's current one

    def test_sums_functions_and_constants(self):
        for schedule in (
            gradtx.function_schedule(lambda t: 0.5**t),
            gradtx.constant_schedule(0.5),
            2.0 - gradtx.constant_schedule(1.0),
        ):
            (line,) = schedule.plot().get_lines()
            np.testing.assert_allclose(line.get_ydata()[0], float(schedule(0)))
            pyplot.close("all")

    @pytest.mark.parametrize("steps", [0, -1, 2.5, True, "10"])
    def test_a_number_of_steps_that_is_none(self, steps):
        with pytest.raises((TypeError, ValueError), match=r"steps must be (a whole number|at least 1); got"):
            gradtx.constant_schedule(1.0).plot(steps)

    def test_several_schedules_in_one_are_not_drawn(self):
        swept = jax.vmap(lambda x: gradtx.linear_schedule(x, 0.0, 10))(jnp.arange(3.0))
        with pytest.raises(ValueError, match=r"this linear_schedule holds several schedules: take one, jax.tree.map"):
            swept.plot(10)


class TestHowFar:
    """Without a number of steps: a little beyond the end, or eight lengths of what has none."""

    ENDS = (
        (gradtx.linear_schedule(1.0, 0.0, 100), 115),
        (gradtx.linear_schedule(1.0, 0.0, 100, 20), 138),
        (gradtx.piecewise_constant_schedule(1.0, {50: 0.5, 200: 0.1}), 230),
        (gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100), 115),
        (gradtx.join_schedules([1.0, gradtx.linear_schedule(1.0, 0.0, 50)], [50]), 115),
        (gradtx.linear_schedule(1.0, 0.0, 100) * 0.5, 115),
        (gradtx.exponential_decay(1.0, 10, 0.5), 80),
        (gradtx.cosine_restarts_schedule(1.0, 10), 80),
        (gradtx.constant_schedule(1.0), 100),
        (gradtx.cosine_decay_schedule(1.0, 2**30), 2**30),
    )

    @pytest.mark.parametrize(("schedule", "end"), ENDS, ids=lambda x: getattr(x, "name", str(x)))
    def test_ends(self, schedule, end):
        last = schedule.plot().get_lines()[0].get_xdata()[-1]
        assert end <= last <= end * 1.16


class TestNames:
    def test_one_line_has_its_call_as_the_title(self):
        ax = gradtx.constant_schedule(0.5).plot(10)
        assert ax.get_title(loc="left") == "constant_schedule(value=0.5)"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "value")
        assert ax.get_legend() is None

    def test_several_have_a_legend(self):
        gradtx.constant_schedule(0.5).plot(10)
        ax = gradtx.constant_schedule(0.25).plot(10)
        assert ax.get_title(loc="left") == ""
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [
            "constant_schedule(value=0.5)",
            "constant_schedule(value=0.25)",
        ]

    def test_a_long_call_is_cut(self):
        ax = gradtx.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100).plot()
        title = ax.get_title(loc="left")
        assert title.startswith("warmup_cosine_decay_schedule(init_value=0.0, ")
        assert title.endswith("…")
        assert len(title) <= 90

    def test_names_of_yours_stay(self):
        _, ax = pyplot.subplots()
        ax.set(xlabel="update", ylabel="rate", title="mine")
        gradtx.constant_schedule(0.5).plot(10, ax, label="constant")
        assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("update", "rate", "mine")


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import gradtx\n"
        "try: gradtx.constant_schedule(0.1).plot()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "gradtx[plots]"' in done.stdout
    assert "matplotlib" in done.stdout
