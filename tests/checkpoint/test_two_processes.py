"""Two real processes train together, one dies, both start again from the last checkpoint: the losses are the same."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoint.worker import EVERY, STEPS

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

WORKER = Path(__file__).with_name("worker.py")
LONGEST = 120.0  # seconds, for a machine that does much else


def free_address():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


class Run:
    """Some workers, and what they say, in files that no full pipe holds up."""

    def __init__(self, folder, logs, processes, pause=0.0):
        logs.mkdir()
        flags = "--xla_force_host_platform_device_count=1"
        environment = {**os.environ, "PYTHONPATH": str(WORKER.parents[2]), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
        address, self.logs, self.workers = free_address(), logs, []
        for k in range(processes):
            command = [sys.executable, WORKER, address, str(processes), str(k), folder, str(pause)]
            with (logs / f"{k}.out").open("w") as out, (logs / f"{k}.err").open("w") as errors:
                self.workers.append(subprocess.Popen(command, env=environment, stdout=out, stderr=errors))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def said(self, word, process=0):
        """The lines of a process that begin with a word: step -> value."""
        lines = [line.split() for line in (self.logs / f"{process}.out").read_text().splitlines()]
        return {int(line[1]): line[2] for line in lines if len(line) == 3 and line[0] == word}

    def until(self, holds):
        """Wait until something holds; what a worker that has failed said, where that comes first."""
        deadline = time.monotonic() + LONGEST
        while not holds():
            failed = [k for k, worker in enumerate(self.workers) if worker.poll() not in (None, 0)]
            if failed or time.monotonic() > deadline:
                errors = [(self.logs / f"{k}.err").read_text()[-3000:] for k in range(len(self.workers))]
                raise AssertionError("\n".join([f"failed: {failed}", *errors]))
            time.sleep(0.02)

    def finish(self):
        """The losses, when all are done; each process has seen the same."""
        self.until(lambda: all(worker.poll() == 0 for worker in self.workers))
        losses = self.said("loss")
        assert all(self.said("loss", k) == losses for k in range(len(self.workers)))
        return losses


@pytest.mark.slow
def test_one_of_two_dies(tmp_path):
    with (
        Run(tmp_path / "one", tmp_path / "log one", 1) as alone,
        Run(tmp_path / "two", tmp_path / "log two", 2) as both,
    ):
        expected, of_one = both.finish(), alone.finish()
    assert list(expected) == list(range(1, STEPS + 1))
    assert both.said("from") == {0: "0.5"}  # of each moment, a process holds a half
    values = [[float.fromhex(x) for x in losses.values()] for losses in (expected, of_one)]
    np.testing.assert_allclose(*values, rtol=1e-5)

    with Run(tmp_path / "killed", tmp_path / "log killed", 2, pause=0.1) as killed:
        killed.until(lambda: len(killed.said("loss")) > EVERY + 2)
        killed.workers[1].send_signal(signal.SIGKILL)
        killed.workers[1].wait()
        time.sleep(0.5)  # the other waits for it, or has seen that it is gone; a supervisor ends it
    before = killed.said("loss")
    assert len(before) < STEPS
    assert "done" not in (tmp_path / "log killed" / "0.out").read_text()

    with Run(tmp_path / "killed", tmp_path / "log again", 2) as again:
        after = again.finish()
    (start,) = again.said("from")
    assert EVERY <= start <= max(before)
    assert start % EVERY == 0
    assert again.said("from") == {start: "0.5"}
    assert list(after) == list(range(start + 1, STEPS + 1))
    assert {k: x for k, x in before.items() if k <= start} | after == expected

    with Run(tmp_path / "killed", tmp_path / "log alone", 1) as alone:  # what two have written, one reads
        (last,) = alone.finish().values()
    assert alone.said("from") == {STEPS - 1: "1.0"}
    np.testing.assert_allclose(float.fromhex(last), float.fromhex(expected[STEPS]), rtol=1e-5)
