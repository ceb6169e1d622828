"""What a race has done so far, on disk, so that one that was stopped goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradtx.apps.race.results_json import from_data, to_data
from gradtx.atomic_write import write_whole


class Kept(NamedTuple):
    """What one piece of work gave: its rows of the results, and how long it took by the clock."""

    rows: tuple[Any, ...]
    seconds: float


class Store:
    """A folder with one file for each piece of work.

    A file appears whole or not at all: it is written beside, flushed to the disk, and renamed. It holds the fingerprint
    of everything that decides the result; one with another is of no use.

    folder: made where it is not there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, fingerprint: str, kept: Kept) -> None:
        """Write what a piece of work gave; after this returns, a crash does not lose it."""
        data = {"fingerprint": fingerprint, "seconds": kept.seconds, "rows": [to_data(row) for row in kept.rows]}
        write_whole(self._path(name), json.dumps(data, allow_nan=False, separators=(",", ":")))

    def find(self, name: str, fingerprint: str, kind: type) -> Kept | str | None:
        """What was kept of a piece of work: its rows; why that is of no use; or None where there is nothing.

        Args:
            name: of the work.
            fingerprint: what it must have been made with.
            kind: of the rows.
        """
        try:
            data = json.loads(self._path(name).read_text(encoding="utf-8"))
            if data["fingerprint"] != fingerprint:
                return "made with other settings, code or versions"
            return Kept(tuple(from_data(kind, row) for row in data["rows"]), float(data["seconds"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # somebody wrote into it
            return "damaged"

    def clear(self) -> None:
        """Forget everything, and what processes that were killed left half written."""
        for path in (*self.folder.glob("*.json"), *self.folder.glob(".*.part")):
            path.unlink()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace(':', '-')}.json"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """A hash of named numbers, words, and lists and dicts of them; equal where all are."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of_code(package: Path, parts: Sequence[str]) -> str:
    """A hash of the Python files in these folders and files of a package: what a number was computed with."""
    digest = hashlib.sha256()
    for part in parts:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
