"""The page as people meet it: with a mouse, with a keyboard, on a telephone, from a link and a file."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.apps.cli import main
from gradtx.apps.studio.offered import OFFERED
from tests.apps.studio import browser
from tests.apps.studio.courses import FUNCTIONS, require_course
from tests.double import enable_x64

pytestmark = pytest.mark.peers

BOWL, EGGS, VALLEY = FUNCTIONS


def test_mouse_and_keys_type_a_function_click_a_start_and_drag_a_slider(page):
    """As a person does it, event by event."""
    page.locator("#function").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(EGGS)
    browser.click_at(page, 3.0, -2.0)
    assert browser.settings(page)["start"] == pytest.approx([3.0, -2.0], abs=0.2)
    slider = page.locator("#rmsprop-learning_rate")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.67 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    moved = browser.settings(page)["h"]["rmsprop"]["learning_rate"]
    assert moved < OFFERED["rmsprop"].first["learning_rate"] / 2
    assert float(page.locator("#rmsprop-learning_rate-value").input_value()) == moved
    slider.press("ArrowRight")
    assert browser.settings(page)["h"]["rmsprop"]["learning_rate"] > moved
    require_course(page, "rmsprop")


def test_the_page_begins_with_the_worked_example(page):
    """RMSProp on the elongated bowl, with the figures that every implementation must give."""
    found = browser.trajectory(page, "rmsprop")
    assert np.round(found["w"][:3], 2).tolist() == [[-15, 20], [-14.84, 19.84], [-14.73, 19.73]]
    np.testing.assert_allclose(found["s"]["nu"][1], [810, 16000], rtol=1e-12)


def test_steps_are_shown_one_by_one_played_and_reset(page):
    page.locator("#reset").click()
    assert browser.settings(page)["shown"] == 0
    page.locator("#step").click()
    page.locator("#step").click()
    assert browser.settings(page)["shown"] == 2
    assert browser.settings(page)["steps"] == 200
    page.locator("#play").click()
    page.wait_for_function("gradtxStudio.state().settings.shown > 4")
    assert page.evaluate("gradtxStudio.state().playing")
    page.locator("#play").click()
    assert not page.evaluate("gradtxStudio.state().playing")


def test_amplification_map_is_that_of_two_steps(page):
    """Of scale_by_rms: at random gradients, at 0, and with rho at both ends."""
    g = np.concatenate(
        [np.random.default_rng(0).normal(size=(20, 2)) * 3, [[0, 0], [0, 1], [1, 0], [1e-5, -1e-5], [50, 50]]]
    )
    for rho, eps in ((0.9, 1e-8), (0.0, 1e-4), (1.0, 1e-3), (0.999, 0.1), (0.5, 0.0)):
        found = page.evaluate(
            "([g, rho, eps]) => g.map(([a, b]) => gradtxStudio.amplification(a, b, rho, eps))", [g.tolist(), rho, eps]
        )
        tx = gradtx.scale_by_rms(rho, eps)
        with enable_x64(True):
            first, second = jnp.asarray(g.T)
            u, _ = tx.update(second, tx.update(first, tx.init(first))[1])
            np.testing.assert_allclose(found, jnp.abs(u) - jnp.abs(second), rtol=1e-12, atol=1e-12)
    formula = g[:20, 1] / np.sqrt(0.1 * (0.9 * g[:20, 0] ** 2 + g[:20, 1] ** 2) + 1e-8)
    found = page.evaluate("g => g.map(([a, b]) => gradtxStudio.amplification(a, b, 0.9, 1e-8))", g[:20].tolist())
    np.testing.assert_allclose(found, np.abs(formula) - np.abs(g[:20, 1]), rtol=1e-12)


def test_rho_slider_changes_the_map(page):
    picture = "document.getElementById('map').toDataURL()"
    before = page.evaluate(picture)
    page.locator("#rho").press("PageUp")
    page.wait_for_function(f"before => {picture} !== before", arg=before)
    assert browser.settings(page)["rho"] > 0.9


EXPRESSIONS = {
    "w1*w2 - w2/w1": lambda a, b: a * b - b / a,
    "-w1^2 + 2^w2": lambda a, b: -(a**2) + 2**b,
    "exp(-w1^2)*sqrt(w2^2 + 1)": lambda a, b: jnp.exp(-(a**2)) * jnp.sqrt(b**2 + 1),
    "abs(w1) + max(w1, w2)*min(w1, 2)": lambda a, b: jnp.abs(a) + jnp.maximum(a, b) * jnp.minimum(a, 2.0),
    "log(1 + w1^2) - tanh(w1*w2)": lambda a, b: jnp.log(1 + a**2) - jnp.tanh(a * b),
    "tan(w1/3) + atan(w2) - pi*e": lambda a, b: jnp.tan(a / 3) + jnp.arctan(b) - np.pi * np.e,
    "2(w1 - 1)(w2 + 1) - w1^3/(1 + w2^4)": lambda a, b: 2 * (a - 1) * (b + 1) - a**3 / (1 + b**4),
    "1.5e1*w1 - .5*w2^-2": lambda a, b: 15.0 * a - 0.5 * b**-2,
}


def test_values_and_gradients_are_those_of_jax(page):
    """The page's parser and its derivatives, against the same expression and jax.grad."""
    points = np.array([[0.3, -1.2], [-2.0, 0.7], [1.0, 3.0], [4.0, -0.5]])
    for text, f in EXPRESSIONS.items():
        browser.type_function(page, text)
        assert page.evaluate("gradtxStudio.state().surface") == {"text": text, "mistake": None}
        found = page.evaluate(
            "ps => ps.map(([a, b]) => [gradtxStudio.value(a, b), ...gradtxStudio.gradient(a, b)])", points.tolist()
        )
        with enable_x64(True):
            value, slope = jax.vmap(jax.value_and_grad(f, (0, 1)))(*jnp.asarray(points.T))
        np.testing.assert_allclose(found, np.stack([value, *slope], 1), rtol=1e-12, err_msg=text)


def changed(page):
    """Settings that differ from the defaults in all kinds, with digits that a link may lose."""
    browser.type_function(page, "sin(w1)*w2 + 100*w2^2")
    page.locator("#use-rmsprop_centered").check()
    page.locator("#rmsprop_centered-eps_in_sqrt").uncheck()
    browser.set_number(page, "rmsprop_centered-decay-value", 0.1 + 0.2)
    browser.set_number(page, "start-1", -1 / 3)
    page.locator("#use-amsgrad").check()
    page.locator("#amsgrad-maximum_of").select_option("raw")
    browser.set_number(page, "steps", 77)
    return browser.settings(page)


def test_a_link_restores_the_settings(page, chromium, studio):
    now = changed(page)
    assert now["start"][0] == -1 / 3
    assert now["h"]["rmsprop_centered"]["decay"] == 0.1 + 0.2
    assert now["h"]["rmsprop_centered"]["eps_in_sqrt"] is False
    page.wait_for_function("location.hash === `#${Settings.toLink(Model.model.settings)}`")  # a little later
    with browser.shown(chromium, studio, page.url.removeprefix(studio.as_uri())) as other:
        assert browser.settings(other) == now
        assert browser.trajectory(other, "amsgrad") == browser.trajectory(page, "amsgrad")
        assert browser.message(other) == ""


def test_a_file_restores_the_settings_and_a_damaged_one_is_told(page, chromium, studio, tmp_path):
    now = changed(page)
    with page.expect_download() as download:
        page.locator("#save-file").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    with browser.shown(chromium, studio) as other:
        other.locator("#open-file").set_input_files(file)
        other.wait_for_function("gradtxStudio.state().settings.steps === 77")
        assert browser.settings(other) == now
        damaged = tmp_path / "damaged.json"
        for text in (file.read_text()[:-20], json.dumps({**json.loads(file.read_text()), "start": [1, None]}), "[]"):
            damaged.write_text(text)
            other.locator("#open-file").set_input_files(damaged)
            other.wait_for_function("gradtxStudio.state().message.includes('damaged.json is broken')")
            assert browser.settings(other) == now


def test_keys_alone_set_the_start(page):
    canvas = page.locator("#contours")
    canvas.focus()
    before = browser.settings(page)["start"]
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        canvas.press(key)
    assert browser.settings(page)["start"] == before
    canvas.press("Enter")
    after = browser.settings(page)["start"]
    assert after[0] > before[0]
    assert after[1] < before[1]
    assert browser.trajectory(page, "sgd")["w"][0] == after


def test_every_control_has_a_name_for_screen_readers(page):
    """With all optimizers chosen: nothing that can be operated is nameless, and no two sliders have one name."""
    for name in OFFERED:
        page.locator(f"#use-{name}").check()
    tree = page.locator("body").aria_snapshot()
    kinds = "button|checkbox|combobox|slider|textbox|link|application|region|img"
    nameless = re.findall(rf"^\s*- (?:{kinds})(?: \[[^\]]*\])*:?(?:$| (?!\").*)", tree, re.MULTILINE)
    assert not nameless
    sliders = re.findall(r"- slider \"([^\"]+)\"", tree)
    assert len(sliders) == len(set(sliders)) > 60
    for name in ("Adam b1", "RMSProp decay", "Lion learning_rate"):
        assert name in sliders


def test_on_a_telephone_nothing_scrolls_sideways_and_a_tap_sets_the_start(chromium, studio):
    size = {"width": 390, "height": 844}
    with browser.shown(chromium, studio, viewport=size, has_touch=True, is_mobile=True) as page:
        for name in OFFERED:
            page.locator(f"#use-{name}").check()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        canvas = page.locator("#contours")
        canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
        page.touchscreen.tap(*page.evaluate("gradtxStudio.pixel(5, 5)"))
        page.wait_for_function("Math.abs(gradtxStudio.state().settings.start[0] - 5) < 0.5")


def test_the_command_says_what_the_page_begins_with(chromium, tmp_path):
    file = tmp_path / "page.html"
    words = ["--function", VALLEY, "--start", "40", "-35e-1", "--optimizers", "adamw,adam"]
    assert main(["studio", "--output", str(file), *words]) == 0
    with browser.shown(chromium, file) as page:
        now = browser.settings(page)
        assert (now["f"], now["start"], now["use"]) == (VALLEY, [40, -3.5], ["adamw", "adam"])
        assert now["view"][0] < -3.5
        assert now["view"][1] > 40
        require_course(page, "adam")


def test_the_call_that_is_shown_is_the_transformation(page):
    """The line of Python under an optimizer makes what its rule follows."""
    for name in OFFERED:
        page.locator(f"#use-{name}").check()
    calls = page.evaluate("[...document.querySelectorAll('.optimizer code')].map((code) => code.textContent)")
    assert len(calls) == len(OFFERED)
    for name, call in zip(OFFERED, calls, strict=True):
        assert eval(call, vars(gradtx).copy()) == OFFERED[name].make(**OFFERED[name].first), call
