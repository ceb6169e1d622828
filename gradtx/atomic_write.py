"""Files that are written completely, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

unfinished: set[Path] = set()
"""Files that are being written, under names of their own; a process that is about to end removes them."""


def write_whole(path: Path, text: str) -> None:
    """Write a text, in UTF-8. If this is interrupted or fails, the file is as it was before.

    Raises: OSError: the file cannot be written.
    """
    write_whole_with(path, lambda part: part.write_bytes(text.encode()))


def write_whole_with(path: Path, write: Callable[[Path], Any]) -> None:
    """As `write_whole`, with a function that writes a file of the given path, which then replaces `path`."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    unfinished.add(part)
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # as for any new file; mkstemp's is readable by its owner alone
        part.replace(path)
    except BaseException:
        part.unlink()
        raise
    finally:
        unfinished.discard(part)


def _umask() -> int:
    """The permissions that new files of this process do not get; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
