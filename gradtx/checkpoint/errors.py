"""The error of this package."""

from __future__ import annotations

from gradtx.checkpoint.report import Report


class CheckpointError(ValueError):
    """A checkpoint is missing or damaged, was not written by gradtx, or does not match the targets.

    Args:
        message: what was found, and what to do.
        report: the differences between checkpoint and targets, if they are the reason; else None.
    """

    def __init__(self, message: str, report: Report | None = None):
        super().__init__(message)
        self.report = report
