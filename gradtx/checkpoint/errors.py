"""The one error of checkpoints."""

from __future__ import annotations

from gradtx.checkpoint.report import Report


class CheckpointError(ValueError):
    """A checkpoint is not there, is damaged, is not gradtx's, or does not fit what is asked of it.

    Args:
        message: what was found and what to do.
        report: how checkpoint and target differ, where that is the matter; else None.
    """

    def __init__(self, message: str, report: Report | None = None):
        super().__init__(message)
        self.report = report
