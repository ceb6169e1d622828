"""Numbers of updates, where one side has them and the other does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from gradtx.compat.optax.matching import UNLIKE


class Updates:
    """The number of updates done, where a state does not say it itself.

    known: (scope, number) of the states that do. steps: the number that the caller gave, or None.
    """

    def __init__(self, known: list[tuple[Any, Any]], steps: int | None):
        self._known, self._steps = [(scope, int(n)) for scope, n in known if not isinstance(n, Tracer)], steps
        self._is_used = False

    def shared(self, lacks: str, scope: Any = None) -> Any:
        """The number that was given, or else the one that all states of a scope have; of all scopes if it is None."""
        found = {n for its, n in self._known if scope in (None, its)}
        if self._steps is None and len(found) != 1:
            raise ValueError(f"{lacks} does not: give steps=, the number of updates done")
        self._require_no_other(found)
        self._is_used = True
        return jnp.asarray(found.pop() if self._steps is None else self._steps, jnp.int32)

    def require_steps_agree(self) -> None:
        """Raise ValueError if the number that was given is not needed, and another than what the state has."""
        if not self._is_used:
            self._require_no_other({n for scope, n in self._known if scope == ()})

    def _require_no_other(self, found: set[int]) -> None:
        if self._steps is not None and found and self._steps not in found:
            raise ValueError(f"steps={self._steps}, and the state has counted {max(found)}: leave steps out")

    def spread(self, counts: list, wanted: int, source: str, other: str) -> Iterator[Any]:
        """The counts of schedules for as many schedules on the other side."""
        if counts and not wanted:
            raise ValueError(f"{source} counts the steps of a schedule, and {other} has no schedule: {UNLIKE}")
        if len(counts) == wanted:
            return iter(counts)
        if len({int(count) for count in counts}) > 1:
            raise ValueError(
                f"{source} has schedules at {len(counts)} different steps, and {other} has {wanted} schedules: {UNLIKE}"
            )
        return iter([counts[0] if counts else self.shared(f"{other} has a schedule, and {source}")] * wanted)
