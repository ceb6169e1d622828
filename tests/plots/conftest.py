"""Pictures without a screen, which no test leaves open."""

import pytest

matplotlib = pytest.importorskip("matplotlib", reason="install the extra: pip install -e '.[plots]'")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _closed():
    from matplotlib import pyplot

    yield
    pyplot.close("all")
