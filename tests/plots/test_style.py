"""Shades that are told apart in grey, words that can be read, files that are the same each time."""

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from gradtx import plots
from gradtx.plots import style
from tests.plots.seeing import grey


@pytest.mark.parametrize("n", range(2, 11))
def test_shades_get_brighter_in_grey(n):
    brightness = [grey(color) for color in style.shades(n)]
    steps = np.diff(brightness)
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()
    assert brightness[-1] < 190  # visible on white


def test_looks_differ_in_dash_or_marker_too():
    looks = [(str(look.dash), look.marker) for look in style.looks_of(12)]
    assert len(set(looks)) == 12


def test_words_can_be_read_on_white():
    for color in [*style.shades(9), "yellow", "0.8", "black"]:
        assert 1.05 / (style.lightness(style.ink(color)) + 0.05) >= 4.5
    assert style.ink("black") == (0, 0, 0)
    assert (style.lightness("white"), style.lightness("black")) == (pytest.approx(1.0), 0.0)


def test_style_holds_within_and_not_after():
    before = dict(matplotlib.rcParams)
    with plots.in_style():
        figure, ax = pyplot.subplots()
        assert not ax.spines["top"].get_visible()
        assert figure.get_constrained_layout()
        looks = [tuple(cycle.values()) for cycle in matplotlib.rcParams["axes.prop_cycle"]]
        assert len(looks) == len(style.DASHES)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("values", "log"),
    [([1, 10], False), ([1, 30], True), ([0, 1, 30], True), ([-1, 1, 30], False), ([0, 0], False), ([np.nan], False)],
)
def test_which_values_need_a_logarithmic_axis(values, log):
    assert style.many_decades(np.array(values, float)) is log


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_files_are_the_same_each_time(tmp_path, suffix):
    files = []
    for name in ("a", "b"):
        with plots.in_style():
            figure, ax = pyplot.subplots(figsize=(1, 1), subplot_kw={"xticks": [], "yticks": []})
        ax.plot([0, 1], [0, 1])
        files.append(plots.save(figure, str(tmp_path / f"{name}{suffix}")))
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert b"gradtx" in first
    for said in (b"Matplotlib v", b"matplotlib.org", b"CreationDate"):
        assert said not in first or suffix == ".svg"  # which names the program in a comment, without a date


def test_a_file_of_another_kind_and_one_that_cannot_be_written(tmp_path):
    figure = pyplot.figure()
    with pytest.raises(ValueError, match=r"path must end in \.png, \.svg, \.pdf; got 'a\.jpg'"):
        plots.save(figure, tmp_path / "a.jpg")
    with pytest.raises(OSError, match="nowhere"):
        plots.save(figure, tmp_path / "nowhere" / "a.png")


def test_matplotlib_is_imported_where_it_is_used():
    program = (
        "import sys, gradtx, gradtx.plots as plots\n"
        "assert not any(name.startswith('matplotlib') for name in sys.modules)\n"
        "sys.modules['matplotlib'] = None\n"
        "for draw in (plots.amplification_map, lambda: plots.races({'a': [[1.0]]}),\n"
        "             lambda: plots.save(None, 'a.png'),\n"
        "             lambda: plots.schedules(gradtx.constant_schedule(0.1)), lambda: plots.in_style().__enter__()):\n"
        "    try: draw()\n"
        "    except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count('pip install "gradtx[plots]"') == 5


def test_everything_public_is_named_once():
    assert sorted(plots.__all__) == plots.__all__
    assert all(hasattr(plots, name) for name in plots.__all__)
    assert not [pair for pair in itertools.pairwise(plots.__all__) if pair[0] == pair[1]]
