"""The base of all writers: it writes each measured step once, and warns if steps were lost."""

from __future__ import annotations

import abc
import os
import warnings
from types import TracebackType
from typing import Any, Self

import numpy as np

from gradtx.inspection.readings import Readings, readings


class LostReadingsWarning(UserWarning):
    """Measured steps were overwritten in the watch's ring buffer before they were written."""


class Writer(abc.ABC):
    """Writes the readings in a state that are not written yet. It is a context manager, which closes it at the end.

    Call it as often as you like, but at least once in `window` measured steps of the watch. Otherwise the ring buffer
    overwrites some of them: they are lost, with a `LostReadingsWarning`.
    """

    def __init__(self, last: int = -1):
        self._written = last  # the last step that is written, -1 for none
        self._continues = last >= 0  # whether another writer wrote it, before this one
        self._every: int | None = None  # the distance between two measured steps
        self._closed = False

    def __call__(self, state: Any) -> int:
        """Write the new readings.

        Args:
            state: the state of a transformation with a `watch(...)` somewhere inside, or `Readings`.

        Returns: the number of steps that were written.
        Raises: ValueError: this writer is closed, the readings are of another run or of other leaves than before, or
            `gradtx.readings` raises it for this state.
        """
        if self._closed:
            raise ValueError(f"this {type(self).__name__} is closed: make a new one")
        found = state if isinstance(state, Readings) else readings(state)
        if not len(found):
            return 0
        first, last = int(found.steps[0]), int(found.steps[-1])
        if self._continues and first <= self._written:
            self._require_fits(found)
            self._cut(first)
            self._written = first - 1
        if last < self._written:
            raise ValueError(
                f"step {self._written} is already written, but these readings end at step {last}: they are of another "
                f"run, which needs its own writer"
            )
        new = found.since(self._written + 1)
        if not len(new):
            return 0
        self._require_fits(new)
        before = self._written
        if len(found) > 1:
            self._every = int(np.min(np.diff(found.steps)))
        self._write(new)
        self._written = last
        if not self._continues and before >= 0 and self._every is not None:
            self._warn_of_lost((int(new.steps[0]) - before) // self._every - 1, new, len(found))
        self._continues = False
        return len(new)

    def close(self) -> None:
        """Complete the output. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _warn_of_lost(self, lost: int, new: Readings, kept: int) -> None:
        if lost > 0:
            warnings.warn(
                f"{lost} measured steps before step {int(new.steps[0])} were overwritten before they could be written: "
                f"write more often, or make the watch's window larger than {kept}",
                LostReadingsWarning,
                stacklevel=3,
            )

    def _require_fits(self, new: Readings) -> None:  # noqa: B027 - a hook
        """Raise ValueError if readings do not have the leaves and stages of the written ones; here everything fits."""

    def _cut(self, step: int) -> None:  # noqa: B027 - a hook
        """Remove the rows from this step on that an earlier writer wrote; here there are none."""

    @abc.abstractmethod
    def _write(self, new: Readings) -> None:
        """Write readings, all of them new."""

    def _finish(self) -> None:  # noqa: B027 - a hook
        """Close what is open; here nothing is."""


def unwritable(error: OSError, path: str | os.PathLike) -> OSError:
    """The same error with a message that says what could not be written where."""
    return type(error)(error.errno, f"cannot write readings there: {error.strerror}", str(path))
