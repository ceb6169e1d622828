"""Bad input: the page says what is wrong and where, and goes on."""

from urllib.parse import quote

import pytest

from gradtx.apps.cli import main
from tests.apps.studio import browser
from tests.apps.studio.courses import FUNCTIONS, require_course

pytestmark = pytest.mark.peers

BOWL, EGGS, _ = FUNCTIONS

MISTAKES = [
    ("3*w1^", 5, "operand is missing"),
    ("w1^2 + w2^2 + w3^2", 15, "two variables"),
    ("x^2 + y^2", 1, "two variables"),
    ("sin(w1", 4, "never closed"),
    ("w1)", 3, "never opened"),
    ("sine(w1)", 1, "did you mean sin"),
    ("3 $ w1", 3, "unexpected"),
    ("w1 w2 3", 7, "operator"),
    ("", 1, "empty"),
    ("alert(1)", 1, "unknown name"),
    ("</script><b>", 1, "unexpected"),
    ("(" * 500 + "w1", 101, "deep"),
    ("w1 + " * 1000, 2001, "characters"),
]


def test_mistakes_are_pointed_at_and_the_page_stays_alive(page):
    """The message has the position; what was drawn stays, and the next function is taken."""
    for text, position, said in MISTAKES:
        browser.type_function(page, text)
        mistake = page.evaluate("gradtxStudio.state().surface.mistake")
        assert mistake is not None, text
        assert said in mistake["message"], mistake
        assert mistake["position"] == position, mistake
        assert mistake["message"][1:20] in browser.message(page)
        assert page.evaluate("gradtxStudio.state().surface.text") == BOWL
    browser.type_function(page, EGGS)
    assert browser.message(page) == ""
    require_course(page, "adam")


STARTS_WITHOUT_ERROR = [
    ("w2 + 1/w1", (0, 1), "division by zero"),
    ("log(w1) + w2^2", (0, 1), "log of zero"),
    ("w2^2 + sqrt(w1)", (-3, 1), "sqrt of -3"),
    ("log(-1 - w1^2) + w2", (1, 1), "log of -2"),
    ("exp(w1) + w2", (900, 1), "overflow"),
]


def test_a_start_without_an_error_is_explained(page):
    """Division by zero at the start, and surfaces of NaN: a message, no numbers; another start is taken."""
    for text, start, said in STARTS_WITHOUT_ERROR:
        browser.type_function(page, text)
        for k, w in enumerate(start):
            browser.set_number(page, f"start-{k + 1}", w)
        assert said in browser.message(page).replace("−", "-")
        assert browser.trajectory(page, "sgd")["stopped"]["step"] == 0
        assert len(browser.trajectory(page, "sgd")["w"]) == 1
    browser.type_function(page, BOWL)
    browser.set_number(page, "start-1", 2.0)
    assert browser.message(page) == ""
    require_course(page, "sgd")


def test_a_trajectory_that_leaves_the_numbers_says_at_which_step(page):
    browser.set_number(page, "sgd-learning_rate-value", 5.0)
    stopped = browser.trajectory(page, "sgd")["stopped"]
    assert 0 < stopped["step"] < 200
    assert f"Gradient descent stops at step {stopped['step']}" in browser.message(page)


def test_numbers_that_cannot_be_are_refused(page):
    """The old one stays, and the page says what was expected."""
    field = page.locator("#adam-b1-value")
    for typed in ("", "none", "1,5", "-1", "1e400"):
        field.fill(typed)
        field.press("Tab")
        assert browser.settings(page)["h"]["adam"]["b1"] == 0.9
        assert "from 0 to" in browser.message(page)
        assert field.input_value() == "0.9"


BROKEN_LINKS = [
    ("#v=1&steps=many", "steps"),
    ("#v=2", "gradtx_studio"),
    ("#v=1&adam.b1=2", "adam.b1"),
    ("#v=1&use=adamm", "use"),
    ("#v=1&__proto__.x=1", "no optimizer"),
    ("#v=1&f=%", "broken"),
    ("#" + quote("<img src=x onerror=alert(1)>"), "broken"),
]


def test_a_broken_link_is_told_and_the_defaults_taken(chromium, studio):
    with browser.shown(chromium, studio, "#v=1&start=1,x") as page:
        assert "start" in browser.message(page)
        for address, said in BROKEN_LINKS:
            page.wait_for_function("location.hash === `#${Settings.toLink(Model.model.settings)}`")  # a little later
            page.evaluate("address => { location.hash = address; }", address)
            page.wait_for_function("said => gradtxStudio.state().message.includes(said)", arg=said)
            assert browser.settings(page)["f"] == BOWL
            assert len(browser.trajectory(page, "adam")["w"]) == 201


def test_a_mistake_in_the_function_of_the_command_is_told_by_the_page(chromium, tmp_path):
    file = tmp_path / "page.html"
    assert main(["studio", "--output", str(file), "--function", "w1^2 + </script>w3"]) == 0
    with browser.shown(chromium, file) as page:
        assert page.evaluate("gradtxStudio.state().surface.mistake") is not None
        browser.type_function(page, BOWL)
        assert len(browser.trajectory(page, "adam")["w"]) == 201
