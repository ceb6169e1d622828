"""Files that are written whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Write a text so that the file is there whole, or as it was before, whatever happens.

    Raises:
        OSError: where that cannot be done; nothing is left beside the file then.
    """
    write_whole_with(path, lambda beside: beside.write_bytes(text.encode()))


def write_whole_with(path: Path, write: Callable[[Path], Any]) -> None:
    """As `write_whole`, by a function of the path of a file that then takes the place of this one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.chmod(0o666 & ~_umask())  # a new file's; mkstemp's is for its owner alone
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise


def _umask() -> int:
    """What new files of this process may not be; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
