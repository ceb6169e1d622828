"""Two real processes train together, one dies, both start again from the last checkpoint: the losses are the same."""

import os
import signal
import socket
import time

import numpy as np
import pytest

from tests.checkpoint.forks import forks
from tests.checkpoint.worker import EVERY, STEPS

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

LONGEST = 120.0  # seconds, for a busy machine


def free_address():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


class Run:
    """Some workers, and what they say, in files, which do not block them as a full pipe would."""

    def __init__(self, started, folder, logs, processes, pause=0.0):
        logs.mkdir()
        self._started, self.logs, address = started, logs, free_address()
        self.workers = [
            started.start("tests.checkpoint.worker", address, processes, k, folder, pause, file=logs / f"{k}.out")
            for k in range(processes)
        ]

    def kill(self, worker):
        """Kill a worker, unless it has failed, and wait for its end."""
        while self._status(worker) is None:
            os.kill(self.workers[worker], signal.SIGKILL)
            time.sleep(0.02)

    def _status(self, worker):
        return self._started.poll(self.workers[worker])

    def said(self, word, process=0):
        """The lines of a process that begin with a word: step -> value."""
        lines = [line.split() for line in (self.logs / f"{process}.out").read_text().splitlines()]
        return {int(line[1]): line[2] for line in lines if len(line) == 3 and line[0] == word}

    def until(self, holds):
        """Wait until something holds; what a worker that has failed said, where that comes first."""
        deadline = time.monotonic() + LONGEST
        while not holds():
            failed = [k for k in range(len(self.workers)) if self._status(k) not in (None, 0)]
            if failed or time.monotonic() > deadline:
                errors = [(self.logs / f"{k}.out").read_text()[-3000:] for k in range(len(self.workers))]
                raise AssertionError("\n".join([f"failed: {failed}", *errors]))
            time.sleep(0.02)

    def finish(self):
        """The losses, when all are done; each process has seen the same."""
        self.until(lambda: all(self._status(k) == 0 for k in range(len(self.workers))))
        losses = self.said("loss")
        assert all(self.said("loss", k) == losses for k in range(len(self.workers)))
        return losses


@pytest.fixture
def started():
    """The process that starts workers."""
    with forks() as found:
        yield found


@pytest.mark.slow
def test_one_of_two_dies(tmp_path, started):
    alone = Run(started, tmp_path / "one", tmp_path / "log one", 1)
    both = Run(started, tmp_path / "two", tmp_path / "log two", 2)
    expected, of_one = both.finish(), alone.finish()
    assert list(expected) == list(range(1, STEPS + 1))
    assert both.said("from") == {0: "0.5"}  # of each moment, a process holds a half
    values = [[float.fromhex(x) for x in losses.values()] for losses in (expected, of_one)]
    np.testing.assert_allclose(*values, rtol=1e-5)

    killed = Run(started, tmp_path / "killed", tmp_path / "log killed", 2, pause=0.1)
    killed.until(lambda: len(killed.said("loss")) > EVERY + 2)
    killed.kill(1)
    time.sleep(0.5)  # the other one waits for it, or has noticed that it is gone; a supervisor ends it
    killed.kill(0)
    before = killed.said("loss")
    assert len(before) < STEPS
    assert not killed.said("done")

    again = Run(started, tmp_path / "killed", tmp_path / "log again", 2)
    after = again.finish()
    (start,) = again.said("from")
    assert EVERY <= start <= max(before)
    assert start % EVERY == 0
    assert again.said("from") == {start: "0.5"}
    assert list(after) == list(range(start + 1, STEPS + 1))
    assert {k: x for k, x in before.items() if k <= start} | after == expected

    alone = Run(started, tmp_path / "killed", tmp_path / "log alone", 1)  # two have written it, one reads it
    (last,) = alone.finish().values()
    assert alone.said("from") == {STEPS - 1: "1.0"}
    np.testing.assert_allclose(float.fromhex(last), float.fromhex(expected[STEPS]), rtol=1e-5)
