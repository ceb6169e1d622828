"""The command line: which command `python -m gradtx NAME` runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from gradtx.apps.demo.contenders import CONTENDERS
from gradtx.core.errors import suggestion
from gradtx.optional_imports import MissingExtraError

COMMANDS = {
    "demo": "gradtx.apps.demo.cli",
    "race": "gradtx.apps.race.cli",
    "studio": "gradtx.apps.studio.cli",
}
"""The module of each command; its `run(words)` does the work and returns the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of `python -m gradtx`, which is the demonstration where none is named; the exit code.

    Args:
        arguments: the words after `python -m gradtx`; by default this process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and not words[0].startswith("-") else "demo"
    if name not in COMMANDS:
        near = f": python -m gradtx --optimizers {name}?" if name in CONTENDERS else suggestion(name, COMMANDS)
        print(f"gradtx: there is no command {name!r}{near}; there is {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(COMMANDS[name]).run(words)
    except MissingExtraError as error:
        print(f"gradtx: {error}", file=sys.stderr)
        return 1
