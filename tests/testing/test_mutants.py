"""Every mutant is found by the law that is there to find it, and what they were made from is not."""

import jax
import pytest

from gradtx.testing import LAWS, check
from tests.testing.mutants import MUTANTS, SOUND


@pytest.fixture(autouse=True)
def loose():
    """Other people's code is not written for strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def laws_up_to(name: str) -> list[str]:
    """The law, and those that it presupposes."""
    return [*LAWS[name].after, name]


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_found(name):
    """By its own law, while those that the law presupposes hold."""
    wrong = MUTANTS[name]
    broken = check(wrong.tx, raises=False, laws=laws_up_to(wrong.law), **wrong.case).broken
    assert broken.keys() == {wrong.law}, broken


@pytest.mark.parametrize("name", SOUND)
def test_what_they_were_made_from_is_sound(name):
    """By all laws that have a mutant; what is local to a function has no name to be pickled or printed by."""
    laws = {wrong.law for wrong in MUTANTS.values()}
    assert check(SOUND[name], laws=[law for law in LAWS if law in laws]).ok


def test_there_are_enough():
    """Forty at least, of most laws."""
    assert len(MUTANTS) >= 40
    assert len({wrong.law for wrong in MUTANTS.values()}) >= 30
