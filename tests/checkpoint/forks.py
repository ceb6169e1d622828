"""A process that forks others. It has imported JAX, Orbax and gradtx, which takes longer than what they do.

It forks before JAX and Orbax have started a thread, so each fork is like a fresh process. As a script it reads commands
from its input, a JSON list each: ["start", module, arguments, file or null], where the file is for output and errors,
and ["poll", pid].
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = (
    "orbax.checkpoint",
    "tests.checkpoint.worker",
    "tests.checkpoint.crash_writer",
    "tests.sharding.matrices_worker",
)


class Forks:
    """The process from outside. `lines` are what it and the forks without a file of their own have said."""

    def __init__(self, process):
        self._process, self.lines = process, process.stdout

    def start(self, module, *arguments, file=None):
        """Run `main` of a module in a fork; its process id."""
        return self._ask("pid", "start", module, list(map(str, arguments)), None if file is None else str(file))

    def poll(self, pid):
        """The exit status of a fork, and what forks said before; None while it runs."""
        return self._ask("status", "poll", pid)

    def _ask(self, word, *command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        self.said = []  # before the answer
        while (line := self.lines.readline().split())[:1] != [word]:
            assert line, "the process has ended"
            self.said.append(line)
        return json.loads(line[1])


@contextlib.contextmanager
def forks():
    """Start the process, and end it and all forks."""
    flags = f"{os.environ['GRADTX_TEST_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, __file__], env=environment, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "warm\n"
            yield Forks(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def say(*words):
    """Write a line at once, so that a kill does not cut it in two."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def run(module, arguments, file):
    """What a fork does."""
    status = 1
    try:
        if file is not None:
            output = os.open(file, os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
        importlib.import_module(module).main(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main():
    for module in MODULES:
        importlib.import_module(module)
    ended = {}
    say("warm")
    for line in sys.stdin:
        command, *rest = json.loads(line)
        if command == "start":
            pid = os.fork()
            if not pid:
                run(*rest)
            say("pid", pid)
            continue
        (asked,) = rest
        if asked not in ended:
            pid, status = os.waitpid(asked, os.WNOHANG)
            ended.update({asked: os.waitstatus_to_exitcode(status)} if pid else {})
        say("status", json.dumps(ended.get(asked)))


if __name__ == "__main__":
    main()
