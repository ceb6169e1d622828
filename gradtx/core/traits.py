"""Traits: what a wrapper must know of a transformation, as its author declares it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class Divisor(NamedTuple):
    """How a second moment of a state is used: updates are divided by `√(moment/weight + eps_inside) + eps_outside`."""

    eps_inside: Any = 0.0
    eps_outside: Any = 0.0
    weight: Any = 1.0


@dataclasses.dataclass(frozen=True)
class Traits:
    """What is declared of a transformation; `tx.traits` combines it over everything inside.

    any_leaves: it does the same, up to rounding, however the numbers are divided into leaves.
    sparse_rows: a row without gradient may be left alone.
    sets_params: the name of the piece whose updates lead to values of the parameters that it chose, "" without one;
        nothing may change such updates.
    clips: it only makes updates smaller, down to a bound.
    whole_tree: it looks at all leaves together, as a global norm does.
    divides: `(arguments, state) -> {field: Divisor}` for the second moments that updates are divided by; None without.
    words: phrases for `explain`: "rest" where it holds parameters still, "in" and "out" in front of what it did.
    """

    any_leaves: bool = False
    sparse_rows: bool = False
    sets_params: str = ""
    clips: bool = False
    whole_tree: bool = False
    divides: Callable[[Mapping[str, Any], Any], dict[str, Divisor]] | None = None
    words: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def around(self, inside: Iterable[Traits]) -> Traits:
        """These traits, declared by a wrapper, combined with those of the transformations inside it."""
        inside = tuple(inside)
        return dataclasses.replace(
            self,
            any_leaves=self.any_leaves and all(t.any_leaves for t in inside),
            sparse_rows=self.sparse_rows and all(t.sparse_rows for t in inside),
            sets_params=self.sets_params or next((t.sets_params for t in inside if t.sets_params), ""),
            clips=all(t.clips for t in inside) if inside else self.clips,
        )
