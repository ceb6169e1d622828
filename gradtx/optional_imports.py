"""Errors for packages that are not installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package is not installed; the message says which command installs it."""


@contextmanager
def extra(name: str | None) -> Iterator[None]:
    """Around an import: if the package is not installed, raise an error that names the extra of gradtx to install.

    Args:
        name: the extra, as in `pip install "gradtx[name]"`; None if the package alone is all that is needed.

    Raises: MissingExtraError: a module is not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        ways = f'"gradtx[{name}]", or in a checkout: pip install -e ".[{name}]"' if name else error.name
        raise MissingExtraError(f"{error.name} is not installed: pip install {ways}") from error


def require(name: str, *modules: str) -> None:
    """Import modules now that a long run needs at its end.

    Args:
        name: the extra.
        *modules: to import.

    Raises: MissingExtraError: a module is not found.
    """
    with extra(name):
        for module in modules:
            importlib.import_module(module)
