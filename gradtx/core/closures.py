"""What the body of a factory returns: its closures, and what else a wrapper can tell of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Decision(NamedTuple):
    """What a wrapper that runs its inside in some steps only decides in one step.

    runs: a bool scalar, whether the inside runs.
    updates: a function without arguments that gives the updates for the inside. It is called where the inside runs, so
        that what it computes costs nothing in other steps.
    advance: `(ran, inner state) -> next state` of the wrapper.
    accepts: where it also depends on what comes out: `updates of the inside -> bool scalar`, False to drop them and the
        state that comes with them.
    """

    runs: Any
    updates: Callable[[], Any]
    advance: Callable[[Any, Any], Any]
    accepts: Callable[[Any], Any] | None = None

    def ran(self, out: Any) -> Any:
        """Whether the inside has had a part in this step, given the updates that it gave or would have given."""
        return self.runs if self.accepts is None else self.runs & self.accepts(out)


class Branch(NamedTuple):
    """Of a transformation that runs its inside in some steps only.

    decide: `(updates, state, params, **extra) -> Decision`, with the arguments of `update`.
    """

    decide: Callable[..., Decision]


class Group(NamedTuple):
    """Where a leaf belongs in a wrapper that treats leaves differently.

    label: the rule, label or word that says why; "" where there is nothing to say.
    inner: the transformation that gets the leaf; None where none does, and the update passes or is held at zero.
    """

    label: str
    inner: Any


@dataclasses.dataclass(frozen=True)
class Closures:
    """The closures of a piece.

    init, update: as everyone writes them.
    step: `update` together with `apply_updates`, with the same arguments; None where it is no better than both.
    branch: of a wrapper that runs its inside in some steps only.
    leaf_groups: `params -> {place of a leaf: its Group}`, of a wrapper that treats leaves differently.
    """

    init: Callable
    update: Callable
    step: Callable | None = None
    branch: Branch | None = None
    leaf_groups: Callable[[Any], Mapping[int, Group]] | None = None
