"""The golden file has nothing but the states of the registry; the cases themselves are compared in test_laws."""

import pytest

import gradtx
from gradtx.testing import BrokenError, Case
from tests.contract.golden import COMMAND, difference, frozen, golden
from tests.contract.registry import CASES


def test_nothing_golden_is_gone():
    """Every entry belongs to a case."""
    gone = sorted(frozen().keys() - CASES.keys())
    assert not gone, f"{gone} are in golden.json and not in the registry: run {COMMAND}"


def test_difference_is_readable():
    """The message shows the old line and the new one."""
    text = difference("adam", ["count: int32[]", "mu: float32[2]"], ["count: int32[]", "mu: bfloat16[2]"])
    assert "-mu: float32[2]" in text
    assert "+mu: bfloat16[2]" in text
    assert COMMAND in text


def test_a_changed_state_and_a_new_case_are_found():
    """The law compares with the file."""
    golden("scale_by_adam")(CASES["scale_by_adam"])
    with pytest.raises(BrokenError, match=r"(?s)the state of scale_by_adam has changed.*-nu/gain: float32\[\]"):
        golden("scale_by_adam")(Case(gradtx.add_momentum(0.9)))
    with pytest.raises(BrokenError, match="no_such_case is not in golden"):
        golden("no_such_case")(CASES["scale_by_adam"])
