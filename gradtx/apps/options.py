"""Shared by the commands: types of options, with messages that say what was expected, and checks of output folders."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from gradtx.errors import suggestion


def at_least_one(text: str) -> int:
    """The type of an option that is a whole number of at least 1."""
    return whole_number(text, 1, None)


def whole_number(text: str, least: int, most: int | None) -> int:
    """The value of an option that is a whole number within bounds."""
    wanted = f"a whole number, at least {least}" + (f", at most {most}" if most is not None else "")
    try:
        number = int(text)
    except ValueError:
        wrong(f"must be {wanted}; got {text!r}")
    if number < least or (most is not None and number > most):
        wrong(f"must be {wanted}; got {number}")
    return number


def names_of(text: str, what: str, known: Iterable[str]) -> list[str]:
    """The value of an option that is names, separated by commas, of optimizers for example (`what`)."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            wrong(f"there is no {what} {name!r}{suggestion(name, known)}; --list shows them")
    return names or wrong(f"name at least one {what}; --list shows them")


def check_output(parser: argparse.ArgumentParser, folder: Path, *files: str) -> list[Path]:
    """Refuse, before a long run, an `--output` that cannot be written into. Nothing is created.

    Args:
        parser: reports the error, and exits.
        folder: the value of `--output`.
        files: the names of files that will be written there.

    Returns: the paths of the files.
    """
    paths = [folder / name for name in files]
    try:
        tempfile.TemporaryFile(dir=next(path for path in (folder, *folder.absolute().parents) if path.exists())).close()
        taken = [path for path in paths if path.is_dir()]
    except OSError as error:
        parser.error(f"argument --output: cannot write into {str(folder)!r}: {error.strerror}")
    if taken:
        parser.error(f"argument --output: cannot write the file {str(taken[0])!r}: a folder has this name")
    return paths


def require_folder(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Make the folder of `--output`, or report why it cannot be written into."""
    check_output(parser, folder)
    folder.mkdir(parents=True, exist_ok=True)


def wrong(message: str) -> NoReturn:
    """Refuse the value of an option."""
    raise argparse.ArgumentTypeError(message)
