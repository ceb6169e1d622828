"""What to say where an optional package is absent."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package that this needs is not installed; the message says which command installs it."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around an import: where the package is absent, an error that names the extra of gradtx it comes with.

    Args:
        name: the extra, as in `pip install "gradtx[name]"`.

    Raises:
        MissingExtraError: where a module is not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'{error.name} is not installed: pip install "gradtx[{name}]", or in a checkout: pip install -e ".[{name}]"'
        ) from error


def require(name: str, *modules: str) -> None:
    """Import what will be needed later, so that a long run does not end in finding that it is absent.

    Args:
        name: of the extra.
        *modules: to import.

    Raises:
        MissingExtraError: where one is not found.
    """
    with extra(name):
        for module in modules:
            importlib.import_module(module)
