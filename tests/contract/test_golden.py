"""The state of every case, leaf by leaf, frozen in `golden.json`: paths, shapes and types.

A difference breaks checkpoints that users have, and belongs into CHANGELOG.md. Where it is meant, write the file anew:

    python -m tests.contract.test_golden
"""

import difflib
import json
from pathlib import Path

import jax
import pytest

from gradtx.testing.compare import named, type_of
from tests.contract.registry import CASES

FILE = Path(__file__).with_name("golden.json")
COMMAND = "python -m tests.contract.test_golden"


def described(name: str) -> list[str]:
    """The state of a case, a line per leaf: `mu/layers/0/w: float32[3,2]`."""
    case = CASES[name]
    return [f"{path}: {type_of(leaf)}" for path, leaf in named(jax.eval_shape(case.init, case.params))]


def difference(name: str, golden: list[str], now: list[str]) -> str:
    """A readable difference of two states, with what to do about it."""
    lines = difflib.unified_diff(golden, now, "golden.json", "now", lineterm="", n=1)
    return "\n".join([f"the state of {name} has changed; if that is meant, run {COMMAND}", *lines])


@pytest.mark.parametrize("name", CASES)
def test_state_is_golden(name):
    """No leaf of the state has moved or changed its type."""
    golden = json.loads(FILE.read_text())
    assert name in golden, f"{name} is not in golden.json: run {COMMAND}"
    now = described(name)
    assert now == golden[name], difference(name, golden[name], now)


def test_nothing_golden_is_gone():
    """Every entry belongs to a case."""
    gone = sorted(json.loads(FILE.read_text()).keys() - CASES.keys())
    assert not gone, f"{gone} are in golden.json and not in the registry: run {COMMAND}"


def test_difference_is_readable():
    """The message shows the old line and the new one."""
    text = difference("adam", ["count: int32[]", "mu: float32[2]"], ["count: int32[]", "mu: bfloat16[2]"])
    assert "-mu: float32[2]" in text
    assert "+mu: bfloat16[2]" in text
    assert COMMAND in text


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: described(name) for name in sorted(CASES)}, indent=1) + "\n")
