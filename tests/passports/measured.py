"""What is measured of each transformation, and on which call of it.

A piece or recipe has its usual arguments. What holds other transformations is measured as in its first case of the
registry of `tests/contract`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.catalog import ENTRIES, Entry
from gradtx.testing import Case
from tests.contract.registry import CALLS, CASES

STEPS_OF_PROBE, DIGITS = 3, 6
LOSS = {"value", "grad"}  # extras of which there is a usual number


class Subject(NamedTuple):
    """A factory and the case that stands for it."""

    entry: Entry
    case: Case

    @property
    def tx(self) -> Any:
        """The transformation that is measured."""
        return self.case.tx

    @property
    def call(self) -> str:
        """How it is written."""
        return repr(self.tx)

    @property
    def why_not(self) -> str:
        """Why it is not run on parameters and gradients of other shapes; "" if it is."""
        needed = set(self.tx.extras.needed)
        if self.tx.traits.takes_examples:
            return "it takes the gradients of several examples"
        if any(name.endswith("_fn") for name in needed):
            return "its update needs functions of the parameters"
        if needed - LOSS or not (self.case.any_tree or self.entry.kind in ("piece", "recipe")):
            return "it needs parameters of its own"
        return ""

    @property
    def draws(self) -> bool:
        """Whether its state has the data of a random key."""
        return any(x.dtype == np.uint32 for x in jax.tree.leaves(jax.eval_shape(self.tx.init, self.case.params)))

    def extras(self, g: Any) -> dict[str, Any]:
        """What its update is given besides, where the loss is 1."""
        usual = {"value": jnp.ones(()), "grad": g}
        return {name: usual[name] for name in self.tx.extras.needed}


def subjects() -> dict[str, Subject]:
    """Every factory of transformations, in the order of their names."""
    first: dict[str, str] = {}
    for name, call in CALLS.items():
        if CASES[name].neutral is None:
            first.setdefault(call.factory.__name__, name)
    for name, call in CALLS.items():
        first.setdefault(call.factory.__name__, name)
    found = {}
    for entry in sorted((e for e in ENTRIES.values() if e.kind != "schedule"), key=lambda e: e.name):
        found[entry.name] = Subject(entry, CASES[entry.name if entry.name in CASES else first[entry.name]])
    return found


def probe(subject: Subject) -> list[float]:
    """A few numbers that change when the formula does: two for each of the first steps."""
    case = subject.case
    updates, _, _ = case.run(case.gradients(STEPS_OF_PROBE))
    found = []
    for tree in updates:
        leaves = [np.abs(np.asarray(x)) + 0.5 * np.real(np.asarray(x)) for x in jax.tree.leaves(tree)]
        flat = np.concatenate([np.ravel(x).astype(np.float64) for x in leaves])
        found += [flat.sum(), flat @ np.cos(np.arange(flat.size))]
    return [float(f"{x:.{DIGITS}g}") for x in found]


def same_probe(one: list[float], other: list[float]) -> bool:
    """Whether two probes are those of the same formula, on other machines and versions."""
    return len(one) == len(other) and bool(np.allclose(one, other, rtol=2e-3, atol=2e-3 * np.max(np.abs(other))))
