"""The amplification map is what `scale_by_rms` does, and can be read without colours."""

import numpy as np
import pytest
from matplotlib import pyplot

import gradtx
from gradtx import plots
from tests.plots.seeing import words


def formula(g1, g2, rho, eps=1e-8):
    """C(g1, g2) in float64."""
    return np.abs(g2 / np.sqrt((1 - rho) * (rho * g1**2 + g2**2) + eps)) - np.abs(g2)


@pytest.mark.parametrize(("rho", "eps"), [(0.0, 1e-8), (0.5, 1e-8), (0.9, 1e-2), (0.99, 1e-8), (1.0, 1.0)])
def test_the_map_is_the_formula(rho, eps):
    side, change = plots.amplification(rho, eps, limit=4.0)
    expected = formula(side[None, :], side[:, None], rho, eps)
    np.testing.assert_allclose(change, expected, rtol=2e-4, atol=2e-5)


def contour(ax):
    """The points of the thick line."""
    (found,) = [c for c in ax.collections if np.allclose(c.get_linewidth(), 1.6)]
    return np.concatenate([path.vertices for path in found.get_paths()])


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_the_line_is_where_nothing_changes(rho):
    g1, g2 = contour(plots.amplification_map(rho)).T
    np.testing.assert_allclose((1 - rho) * (rho * g1**2 + g2**2), 1.0, atol=0.02)


def test_red_is_amplified_blue_attenuated_and_signs_say_so():
    ax = plots.amplification_map(0.9)
    (image,) = ax.get_images()
    for value, warm in ((4.0, True), (-4.0, False)):
        red, _, blue, _ = image.cmap(image.norm(value))
        assert bool(red > blue) is warm
    for text in ax.texts:
        value = formula(*text.get_position(), 0.9)
        assert value > 0 if text.get_text() == "+" and text.get_position() != (0, 0) else value <= 0
    assert set(words(ax)) == {"+", "−"}
    assert len(ax.texts) == 5


def test_labels_and_scale():
    ax = plots.amplification_map(0.99)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first gradient $g_1$", "second gradient $g_2$")
    assert ax.get_title(loc="left") == "ρ = 0.99"
    assert ax.figure.axes[1].get_ylabel() == "$C = |v_2| - |g_2|$"


@pytest.mark.parametrize(("rho", "signs"), [(0.0, {"+", "−"}), (1.0, {"+"})])
def test_the_ends_of_rho(rho, signs):
    ax = plots.amplification_map(rho, colorbar=False)
    assert set(words(ax)) == signs
    assert len(ax.figure.axes) == 1


def test_it_is_drawn_where_asked():
    _, (left, right) = pyplot.subplots(1, 2)
    assert plots.amplification_map(0.5, limit=2.0, ax=left) is left
    assert left.get_images()[0].get_extent() == [-2, 2, -2, 2]
    assert not right.get_images()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rho": 1.5}, r"decay must be in \[0, 1\]"),
        ({"eps": -1.0}, "eps must be finite and at least 0"),
        ({"limit": 0.0}, "limit must be greater than 0"),
        ({"limit": np.inf}, "limit must be finite"),
    ],
)
def test_numbers_out_of_range(how, message):
    with pytest.raises(ValueError, match=message):
        plots.amplification_map(**how)


def test_rho_follows_no_schedule():
    with pytest.raises(TypeError, match="rho is read once and cannot follow a schedule"):
        plots.amplification_map(gradtx.constant_schedule(0.9))
