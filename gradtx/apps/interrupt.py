"""Ctrl-C ends a command with a sentence and exit code 130, without a traceback and whatever it is doing.

The process is left at once. Its computations may still run in threads of JAX, which crash if Python exits normally.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

from gradtx.atomic_write import unfinished

CODE = 130
note = ""
"""Set by a command: what has been written or kept so far, as the end of the sentence."""


def install() -> None:
    """Handle Ctrl-C from now on, also if the shell has told this process to ignore it, as for background jobs."""
    signal.signal(signal.SIGINT, _stop)


def _stop(_: int, __: FrameType | None) -> None:
    for path in list(unfinished):
        with contextlib.suppress(OSError):
            path.unlink()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may have been interrupted in the middle of a print
            stream.flush()
    line_of_a_bar = "\n" if sys.stderr.isatty() else ""
    os.write(2, f"{line_of_a_bar}gradtx: stopped{note}\n".encode())
    os._exit(CODE)
