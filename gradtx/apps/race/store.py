"""The finished parts of a race on disk, so that a race that was stopped can continue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gradtx.apps.race.results import from_data, to_data
from gradtx.atomic_write import write_whole


class Kept(NamedTuple):
    """The rows of the results that one piece of work gave, and its wall time."""

    rows: tuple[Any, ...]
    seconds: float


class Store:
    """A folder with one file for each piece of work.

    Each file appears completely or not at all. It holds a fingerprint of everything that decides the rows in it; a
    file with another fingerprint is not used.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, fingerprint: str, kept: Kept) -> None:
        """Write the rows of a piece of work. After this returns, a crash does not lose them."""
        data = {"fingerprint": fingerprint, "seconds": kept.seconds, "rows": [to_data(row) for row in kept.rows]}
        write_whole(self._path(name), json.dumps(data, allow_nan=False, separators=(",", ":")))

    def find(self, name: str, fingerprint: str, kind: type) -> Kept | str | None:
        """The rows, of this kind, of a piece of work; or why the file is of no use; or None if there is no file."""
        try:
            data = json.loads(self._path(name).read_text(encoding="utf-8"))
            if data["fingerprint"] != fingerprint:
                return "made with other settings, code or versions"
            return Kept(tuple(from_data(kind, row) for row in data["rows"]), float(data["seconds"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # someone changed the file
            return "damaged"

    def clear(self) -> None:
        """Remove all files, including half-written ones of processes that were killed."""
        for path in (*self.folder.glob("*.json"), *self.folder.glob(".*.part")):
            path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace(':', '-')}.json"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """A hash of named numbers, words, and lists and dicts of them; equal if all are equal."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of_code(package: Path, without: Iterable[str]) -> str:
    """A hash of the Python files of a package, except those in these folders and files."""
    digest, left_out = hashlib.sha256(), [package / name for name in without]
    for file in sorted(package.rglob("*.py")):
        if not any(each == file or each in file.parents for each in left_out):
            digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
