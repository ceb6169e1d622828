"""One browser, and one page as the command writes it, for all tests of the studio in a process."""

import pytest

from gradtx.apps.cli import main
from tests.apps.studio import browser


@pytest.fixture(scope="session")
def chromium():
    """A running browser."""
    with browser.started() as found:
        yield found


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """The file of the page."""
    folder = tmp_path_factory.mktemp("studio")
    assert main(["studio", "--output", str(folder)]) == 0
    return folder / "studio.html"


@pytest.fixture
def page(chromium, studio):
    """The page, newly opened."""
    with browser.shown(chromium, studio) as found:
        yield found
