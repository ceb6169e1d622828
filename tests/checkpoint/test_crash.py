"""A writer that is killed at any moment leaves a complete checkpoint: the one before, or the one it was writing."""

import os
import random
import signal
import time

import pytest

from gradtx.checkpoint import CheckpointError, Checkpoints
from gradtx.testing.compare import same_bits
from tests.checkpoint.crash_writer import content
from tests.checkpoint.forks import forks

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

KILLS = 20


@pytest.fixture
def writers():
    """The process that starts writers."""
    with forks() as found:
        yield found


def told(writers, word):
    """The number in the next line, which begins with this word."""
    line = writers.lines.readline().split()
    assert line[:1] == [word], line
    return int(line[1])


def run_and_kill(writers, folder, saves, seconds):
    """Let a writer write some checkpoints, run for some more time, and kill it: its start, and what is surely there."""
    pid = writers.start("tests.checkpoint.crash_writer", folder)
    sure = start = int(writers.said[0][1]) if writers.said else told(writers, "start")
    for _ in range(saves):
        sure = told(writers, "saved")
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    while writers.poll(pid) is None:
        sure = max([sure, *(int(line[1]) for line in writers.said)])
        time.sleep(0.01)
    return start, max([sure, *(int(line[1]) for line in writers.said)])


def whole(checkpoints, step):
    """Whether a checkpoint can be read; what it holds is of its step then, in every leaf."""
    expected = content(step)
    try:
        back = checkpoints.restore(step, **content(0))
    except CheckpointError:
        return False
    same_bits(f"step {step}", dict(back), expected)
    return True


# Reading a half deleted checkpoint, Orbax closes its event loop while TensorStore still reads other files.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_killed_at_any_moment(tmp_path, writers):
    rng, newest, unfinished, lost = random.Random(0), 0, 0, 0
    for _ in range(KILLS):
        start, sure = run_and_kill(writers, tmp_path, rng.randrange(4), rng.uniform(0.0, 0.15))
        assert start == newest
        unfinished += any("tmp" in path.name for path in tmp_path.iterdir())
        with Checkpoints(tmp_path) as checkpoints:
            steps = checkpoints.steps
            if not steps:
                assert sure == 0
                continue
            newest = steps[-1]
            assert newest >= sure
            assert whole(checkpoints, newest)
            lost += not all(whole(checkpoints, step) for step in steps[:-1])
    assert unfinished > KILLS / 5, "hardly one was killed while it wrote: this shows nothing"
    assert newest > KILLS / 2
    assert lost < KILLS / 2, "old checkpoints are half deleted"
    print(f"{newest} checkpoints, {unfinished} kills left one unfinished, {lost} one half deleted")


def test_what_a_crash_left_is_cleared_by_the_next_writer_only(tmp_path, writers):
    """A reader may have a writer beside it: it touches nothing."""
    for _ in range(10):
        run_and_kill(writers, tmp_path, 1, 0.03)
        left = [path for path in tmp_path.iterdir() if "tmp" in path.name]
        if left:
            break
    assert left
    with Checkpoints(tmp_path) as checkpoints:
        steps = checkpoints.steps
        if steps:
            checkpoints.restore(**content(0))
        else:
            with pytest.raises(CheckpointError, match=r"no complete checkpoint, only .* a crash"):
                checkpoints.restore(**content(0))
        assert all(path.exists() for path in left)
        checkpoints.save(max(steps, default=0) + 1, **content(1))
    assert not [path for path in tmp_path.iterdir() if "tmp" in path.name]
