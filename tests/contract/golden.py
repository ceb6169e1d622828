"""The state of every case, leaf by leaf, frozen in `golden.json`: paths, shapes and types.

A difference breaks the checkpoints of users, and belongs into CHANGELOG.md. Where it is meant, write the file anew:

    python -m tests.contract.golden
"""

import difflib
import json
from pathlib import Path

import jax

from gradtx.testing import BrokenError, Case, Law, law
from gradtx.testing.compare import named, type_of

FILE = Path(__file__).with_name("golden.json")
COMMAND = "python -m tests.contract.golden"


def frozen() -> dict[str, list[str]]:
    """What the file says: the lines of each case."""
    return json.loads(FILE.read_text())


def described(case: Case) -> list[str]:
    """The state of a case, a line per leaf: `mu/layers/0/w: float32[3,2]`."""
    try:
        state = jax.eval_shape(case.init, case.params)
    except Exception as error:
        error.add_note(f"in the case of {case.tx!r}; other parameters are a field of the case: params, any_tree=False")
        raise
    return [f"{path}: {type_of(leaf)}" for path, leaf in named(state)]


def difference(name: str, golden: list[str], now: list[str]) -> str:
    """A readable difference of two states, with what to do about it."""
    lines = difflib.unified_diff(golden, now, "golden.json", "now", lineterm="", n=1)
    return "\n".join([f"the state of {name} has changed; if that is meant, run {COMMAND}", *lines])


def golden(name: str) -> Law:
    """The law that the state of this case is the one in the file."""

    @law()
    def golden_state(case: Case) -> None:
        """No leaf of the state has moved or changed its type."""
        lines, now = frozen().get(name), described(case)
        if lines is None:
            raise BrokenError(f"{name} is not in golden.json: run {COMMAND}")
        if now != lines:
            raise BrokenError(difference(name, lines, now))

    return golden_state


if __name__ == "__main__":
    from tests.contract.registry import CASES

    FILE.write_text(json.dumps({name: described(CASES[name]) for name in sorted(CASES)}, indent=1) + "\n")
