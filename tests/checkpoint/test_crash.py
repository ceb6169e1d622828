"""A writer that is killed at any moment leaves a whole checkpoint: the one before, or the one it was writing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradtx.checkpoint import CheckpointError, Checkpoints
from gradtx.testing.compare import same_bits
from tests.checkpoint.crash_writer import content

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

KILLS = 50
WRITER = Path(__file__).with_name("crash_writer.py")


@pytest.fixture
def writer():
    """The process that starts writers."""
    environment = {**os.environ, "PYTHONPATH": str(WRITER.parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, str(WRITER)], env=environment, start_new_session=True, **pipes)
    try:
        assert process.stdout.readline() == "warm\n"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def told(process, word):
    """The next line, which begins with this word, as a number."""
    line = process.stdout.readline().split()
    assert line[:1] == [word], line
    return int(line[1])


def run_and_kill(writer, folder, saves, seconds):
    """Let a writer write some checkpoints and for some time more, and kill it: its start, and what is surely there."""
    writer.stdin.write(f"{folder}\n")
    writer.stdin.flush()
    pid = told(writer, "pid")
    sure = start = told(writer, "start")
    for _ in range(saves):
        sure = told(writer, "saved")
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    while (line := writer.stdout.readline()) != "dead\n":
        sure = int(line.split()[1])
    return start, sure


def whole(checkpoints, step):
    """Whether a checkpoint can be read; what it holds is of its step then, in every leaf."""
    expected = content(step)
    try:
        back = checkpoints.restore(step, **content(0))
    except CheckpointError:
        return False
    same_bits(f"step {step}", dict(back), expected)
    return True


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path, writer):
    rng, newest, unfinished, lost = random.Random(0), 0, 0, 0
    for _ in range(KILLS):
        start, sure = run_and_kill(writer, tmp_path, rng.randrange(4), rng.uniform(0.0, 0.15))
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


def test_what_a_crash_left_is_cleared_by_the_next_writer_only(tmp_path, writer):
    """A reader may have a writer beside it: it touches nothing."""
    for _ in range(10):
        run_and_kill(writer, tmp_path, 1, 0.03)
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
