"""The command line `python -m gradtx COMMAND`."""

from __future__ import annotations

import codecs
import importlib
import io
import os
import sys
from collections.abc import Sequence

from gradtx.apps import interrupt
from gradtx.apps.race.contenders import raced
from gradtx.errors import suggestion
from gradtx.optional_imports import MissingExtraError

COMMANDS = {
    "demo": "gradtx.apps.race.demo",
    "race": "gradtx.apps.race.cli",
    "studio": "gradtx.apps.studio.cli",
}
"""The module of each command. Its `run(words)` returns the exit code."""

PLAIN = {"≥": ">=", "µ": "u", "–": "-", "·": "*", "²": "^2", "×": "x", "ν": "nu", "π": "pi", "√": "sqrt ", "∞": "inf"}
"""For terminals that cannot show everything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of `python -m gradtx`, by default the demo; the exit code.

    Args:
        arguments: the words after `python -m gradtx`; None: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and not words[0].startswith("-") else "demo"
    if name not in COMMANDS:
        near = f": python -m gradtx --optimizers {name}?" if name in raced() else suggestion(name, COMMANDS)
        print(f"gradtx: there is no command {name!r}{near}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(COMMANDS[name]).run(words)
    except MissingExtraError as error:
        print(f"gradtx: {error}", file=sys.stderr)
        return 1


def process() -> int:
    """`main` for a process of its own: its output goes to any terminal, or to a pipe that may be closed early."""
    interrupt.install()
    codecs.register_error("gradtx.plain", _plain)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="gradtx.plain")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # as `| head` does; also keep Python from flushing again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in text), error.end
