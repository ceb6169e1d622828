"""What all writers share: each measured step is written once, and steps that were lost are told of."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Self

import numpy as np

from gradtx.inspection.readings import Readings, readings


class LostReadingsWarning(UserWarning):
    """Steps were measured, and overwritten in the ring before they were written."""


class Writer:
    """Writes the readings of a state that it has not written yet. A context manager; afterwards it is closed.

    Call it as often as you like, at least once every `window` measured steps of the watch: what the ring has
    overwritten meanwhile is lost, which is a `LostReadingsWarning`.
    """

    def __init__(self, last: int = -1):
        self._written = last  # the number of the last step that is written, -1 for none
        self._goes_on = last >= 0  # whether that was by a writer before this one
        self._every: int | None = None  # between two measured steps
        self._closed = False

    def __call__(self, state: Any) -> int:
        """Write what is new.

        Args:
            state: the state of a transformation with a `watch(...)` somewhere inside, or `Readings`.

        Returns: how many steps were written.
        Raises: ValueError: this writer is closed; readings of other leaves than before; as `readings` does.
        """
        if self._closed:
            raise ValueError(f"this {type(self).__name__} is closed: make another one")
        found = state if isinstance(state, Readings) else readings(state)
        if not len(found):
            return 0
        first, last = int(found.steps[0]), int(found.steps[-1])
        if self._goes_on and first <= self._written:
            self._require_fits(found)
            self._cut(first)
            self._written = first - 1
        if last < self._written:
            raise ValueError(
                f"step {self._written} is written, and these readings end at step {last}: they are of another run, "
                f"which needs a writer of its own"
            )
        new = found.since(self._written + 1)
        if not len(new):
            return 0
        self._require_fits(new)
        before, self._every = self._written, self._interval(found)
        self._write(new)
        self._written = last
        if not self._goes_on and before >= 0:
            self._tell_lost(found, new, before)
        self._goes_on = False
        return len(new)

    def close(self) -> None:
        """Finish what is written; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _interval(self, found: Readings) -> int | None:
        return int(np.min(np.diff(found.steps))) if len(found) > 1 else self._every

    def _tell_lost(self, found: Readings, new: Readings, before: int) -> None:
        if self._every is None:
            return
        first = int(new.steps[0])
        lost = (first - before) // self._every - 1
        if lost > 0:
            warnings.warn(
                f"{lost} measured steps before step {first} were overwritten before they could be written: write more "
                f"often, or make the watch's window larger than {len(found)}",
                LostReadingsWarning,
                stacklevel=3,
            )

    def _require_fits(self, new: Readings) -> None:
        """Raise ValueError where readings are of other leaves or stages than what is written."""

    def _cut(self, step: int) -> None:
        """Take out of a file what it has from this step on."""
        raise NotImplementedError

    def _write(self, new: Readings) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        """Close what is open; here nothing is."""
