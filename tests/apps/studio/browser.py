"""The studio's page in a real Chromium, and what a person does with it."""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra testing)")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser is installed: one of {', '.join(NAMES)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


class Tab:
    """A tab of the browser, for one file at a time."""

    def __init__(self, browser: Any, options: dict[str, Any]):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.route("**/*", self._only_the_file)
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)  # on a busy machine too
        self.page.on("console", lambda said: self._fault(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self._fault(str(error)))
        self.page.on("websocket", lambda socket: self._fault(f"opened {socket.url}"))
        self.address, self.faults = "about:blank", []

    def show(self, address: str) -> None:
        """Leave the old page, which forgets everything, and open another."""
        self.page.goto("about:blank")
        self.address, self.faults = address.split("#")[0], []
        self.page.goto(address)

    def _fault(self, text: str) -> None:
        self.faults.append(text)

    def _only_the_file(self, route: Any) -> None:
        url = route.request.url
        if url.split("#")[0] == self.address:
            route.continue_()
        else:
            self._fault(f"asked for {url}")
            route.abort()


@contextlib.contextmanager
def shown(browser: Any, file: Path, address: str = "", **options: Any) -> Iterator[Any]:
    """A page with this file. At its end nothing may have failed, and nothing may have been requested from a network.

    A tab is kept for the next page with the same options, because a new one costs as much time as a page.
    """
    key = repr((id(browser), options))
    tab = _FREE[key].pop() if _FREE[key] else Tab(browser, options)
    tab.show(file.as_uri() + address)
    yield tab.page
    tab.page.goto("about:blank")
    assert tab.faults == []
    _FREE[key].append(tab)


_FREE: defaultdict[str, list[Tab]] = defaultdict(list)


def settings(page: Any) -> dict[str, Any]:
    """The settings of the page, with all digits."""
    return page.evaluate("gradtxStudio.state().settings")


def message(page: Any) -> str:
    """What the page says is wrong."""
    return page.evaluate("gradtxStudio.state().message")


def trajectory(page: Any, name: str) -> dict[str, Any]:
    """What the page draws of an optimizer, with all digits."""
    return page.evaluate("name => gradtxStudio.trajectory(name)", name)


def click_at(page: Any, w1: float, w2: float) -> None:
    """Click on the contours where this point is."""
    page.locator("#contours").evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
    page.mouse.click(*page.evaluate("([w1, w2]) => gradtxStudio.pixel(w1, w2)", [w1, w2]))


def type_function(page: Any, text: str) -> None:
    """Type an error function."""
    page.locator("#function").fill(text)


def set_number(page: Any, field: str, value: float) -> None:
    """Type a number into a field, "start-1" or "adam-b1-value"."""
    page.locator(f"#{field}").fill(repr(value))
    page.locator(f"#{field}").press("Tab")
