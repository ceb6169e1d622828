"""Settings with which a transformation is another one: those of the catalog, and the neutral ones of wrappers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import gradtx
from gradtx.testing import Case
from tests.contract.registry import CALLS, CASES
from tests.passports.measured import Subject

STEPS = 5


def measured(subject: Subject) -> list[list[Any]]:
    """One call, the other one, and how far their updates are apart over some steps, relative to the largest entry.

    The calls are those that the catalog says are the same, and the first case of the registry that changes nothing.
    """
    name = subject.entry.name
    found = [[*pair, apart(*(usual(gradtx.parse(call)) for call in pair))] for pair in subject.entry.identities]
    neutral = [CASES[k] for k, call in CALLS.items() if call.factory.__name__ == name and CASES[k].neutral is not None]
    neutral = [case for case in neutral if not case.with_tx(case.neutral).holds_foreign]
    return found + [[repr(c.tx), repr(c.neutral), apart(c, c.with_tx(c.neutral))] for c in neutral[:1]]


def usual(tx: Any) -> Case:
    """A transformation on usual parameters, where the loss is 1."""
    return Case(tx, extras=dict.fromkeys(tx.extras.needed, 1.0))


def apart(one: Case, other: Case) -> float:
    """The largest difference of two updates under the same gradients, over the largest entry of one."""
    both = [case.run(one.gradients(STEPS))[0] for case in (one, other)]
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, both), strict=True)]
    largest = max(float(np.max(np.abs(b))) for _, b in pairs)
    return max(float(np.max(np.abs(a - b))) for a, b in pairs) / largest
