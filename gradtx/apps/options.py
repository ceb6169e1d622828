"""What the options of the commands share: types of arguments, with messages that say what was expected."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import NoReturn


def at_least_one(text: str) -> int:
    """The type of an option that counts something."""
    return whole_number(text, 1, None)


def whole_number(text: str, least: int, most: int | None) -> int:
    """A whole number within bounds, from the words of an option."""
    wanted = f"a whole number, at least {least}" + (f", at most {most}" if most is not None else "")
    try:
        number = int(text)
    except ValueError:
        wrong(f"must be {wanted}; got {text!r}")
    if number < least or (most is not None and number > most):
        wrong(f"must be {wanted}; got {number}")
    return number


def require_folder(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Make the folder of `--output` and write into it, before a long run ends in finding that it cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        parser.error(f"argument --output: cannot write into {str(folder)!r}: {error.strerror}")


def wrong(message: str) -> NoReturn:
    """Refuse the words of an option."""
    raise argparse.ArgumentTypeError(message)
