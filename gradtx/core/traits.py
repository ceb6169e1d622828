"""What the author of a transformation declares: its traits, its closures, and when and on which leaves it acts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict


class Divisor(NamedTuple):
    """How a second moment of a state is used: updates are divided by `√(moment/weight + eps_inside) + eps_outside`."""

    eps_inside: Any = 0.0
    eps_outside: Any = 0.0
    weight: Any = 1.0


@dataclasses.dataclass(frozen=True)
class Traits:
    """Declared properties of a transformation; `tx.traits` combines them over everything inside.

    any_leaves: the result does not depend, up to rounding, on how numbers are divided into leaves.
    sparse_rows: a row without gradient may be left alone.
    sets_params: the name of the piece whose updates lead to exactly the parameters that it chose, so that nothing may
        change them; "" if there is none.
    clips: it only makes updates smaller, down to a bound.
    whole_tree: it looks at all leaves together, as a global norm does.
    divides: `(arguments, state) -> {field: Divisor}` for the second moments that updates are divided by, or None.
    words: phrases for `explain`: "rest" if it holds parameters still, "in" and "out" in front of what it did.
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


class Declared(TypedDict, total=False):
    """The keywords of `@transformation`; each is a trait."""

    any_leaves: bool
    sparse_rows: bool
    sets_params: bool
    clips: bool
    whole_tree: bool
    divides: Callable[[Mapping[str, Any], Any], dict[str, Divisor]]
    words: Mapping[str, str]


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
    passes: of a wrapper that leaves the updates to one transformation: `state -> (that transformation, its state)`. The
        state of the wrapper has it in the field `inner`.
    """

    init: Callable
    update: Callable
    step: Callable | None = None
    branch: Branch | None = None
    leaf_groups: Callable[[Any], Mapping[int, Group]] | None = None
    passes: Callable[[Any], tuple[Any, Any]] | None = None
