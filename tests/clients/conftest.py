"""The clients with an extra of their own are not even imported where nightly tests are left out."""

from tests.clients.table import HEAVY


def pytest_ignore_collect(collection_path, config):
    left_out = "not nightly" in (config.option.markexpr or "")
    return True if left_out and collection_path.name in {f"test_{name}.py" for name in HEAVY} else None
