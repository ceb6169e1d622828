"""`python -m gradtx` in a process of its own, as users run it."""

import os
import subprocess
import sys
import time
from pathlib import Path

CACHE = "ignore:Error reading persistent compilation cache entry"  # another process is writing it
WORDS = [sys.executable, "-W", "error", "-W", CACHE, "-m", "gradtx"]


def run(*words, cwd=None, **env):
    """The finished process of `python -m gradtx`; `env`: further environment variables."""
    environment = {**os.environ, **env}
    return subprocess.run(
        [*WORDS, *words], capture_output=True, timeout=300, cwd=cwd, env=environment, text=True, errors="replace"
    )


def started(*words, cwd=None):
    """The running process. Its output is text, in pipes."""
    return subprocess.Popen(
        [*WORDS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True
    )


def wait(process, ready):
    """Wait until `ready()` is true; the process must not end before."""
    for _ in range(30_000):
        if ready():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError("it took too long")


def imports(process, module):
    """Whether a process has begun to load the compiled parts of a module; Linux only."""
    return module in Path(f"/proc/{process.pid}/maps").read_text()
