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


Sign = int | Callable[[Mapping[str, Any], list[int]], int]
"""A declared sign: a factor of the signs inside, or a function of the arguments and of the signs inside."""


def agreed(signs: Iterable[int]) -> int:
    """The sign of transformations side by side: theirs if they agree, else 0; that of none is 1."""
    found = set(signs) or {1}
    return found.pop() if len(found) == 1 else 0


@dataclasses.dataclass(frozen=True)
class Traits:
    """Declared properties of a transformation, as `@transformation` describes them.

    sets_params is here the name of the piece that declares it, or "". Combined, `sign` is a number.
    """

    any_leaves: bool = False
    sparse_rows: bool = False
    leafwise: bool = False
    sets_params: str = ""
    clips: bool = False
    whole_tree: bool = False
    needs_matrices: bool = False
    takes_examples: bool = False
    sign: Sign = 1
    divides: Callable[[Mapping[str, Any], Any], dict[str, Divisor]] | None = None
    gradient_powers: Callable[[Mapping[str, Any]], Mapping[str, int]] | None = None
    words: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def around(self, inside: Iterable[Traits], arguments: Mapping[str, Any]) -> Traits:
        """These traits, declared by a wrapper with these arguments, combined with those of what is inside it."""
        inside = tuple(inside)
        signs: list[Any] = [t.sign for t in inside]
        return dataclasses.replace(
            self,
            any_leaves=self.any_leaves and all(t.any_leaves for t in inside),
            sparse_rows=self.sparse_rows and all(t.sparse_rows for t in inside),
            leafwise=self.leafwise and all(t.leafwise for t in inside),
            sets_params=self.sets_params or next((t.sets_params for t in inside if t.sets_params), ""),
            clips=all(t.clips for t in inside) if inside else self.clips,
            takes_examples=self.takes_examples or any(t.takes_examples for t in inside),
            needs_matrices=self.needs_matrices or any(t.needs_matrices for t in inside),
            sign=self.sign(arguments, signs) if callable(self.sign) else self.sign * agreed(signs),
        )


class Narrowing:
    """Base of an argument with which a transformation can take less than its factory declares."""

    __slots__ = ()

    def narrowed(self, traits: Traits) -> Traits:
        """The traits of a transformation with this argument."""
        return traits


def narrowed(traits: Traits, arguments: Iterable[Any]) -> Traits:
    """The traits that a factory declares, with these arguments."""
    for argument in arguments:
        traits = argument.narrowed(traits) if isinstance(argument, Narrowing) else traits
    return traits


class Declared(TypedDict, total=False):
    """The keywords of `@transformation`; each is a trait."""

    any_leaves: bool
    sparse_rows: bool
    leafwise: bool
    sets_params: bool
    clips: bool
    whole_tree: bool
    needs_matrices: bool
    takes_examples: bool
    sign: Sign
    divides: Callable[[Mapping[str, Any], Any], dict[str, Divisor]]
    gradient_powers: Callable[[Mapping[str, Any]], Mapping[str, int]]
    words: Mapping[str, str]


class Branch(NamedTuple):
    """How a conditional wrapper decides: `decide(updates, state, params, **extra)` returns a `Decision`."""

    decide: Callable[..., Any]


class Group(NamedTuple):
    """Which transformation a leaf gets in a wrapper that treats leaves differently.

    label: the rule, label or word that says why, or "".
    inner: the transformation; None if the update passes unchanged or is held at zero.
    """

    label: str
    inner: Any


@dataclasses.dataclass(frozen=True)
class Closures:
    """The functions of a piece.

    init, update: the usual pair.
    step: `update` and `apply_updates` in one, with the arguments of `update`; None if that saves nothing.
    branch: for a wrapper whose inner transformation runs in some steps only.
    leaf_groups: for a wrapper that treats leaves differently: `params -> {index of a leaf: its Group}`.
    passes: for a wrapper that leaves the updates to one transformation: `state -> (that transformation, its state)`.
        The state of the wrapper has it in the field `inner`.
    state: the type of the state; None to find it with `init` of an empty tree.
    """

    init: Callable
    update: Callable
    step: Callable | None = None
    branch: Branch | None = None
    leaf_groups: Callable[[Any], Mapping[int, Group]] | None = None
    passes: Callable[[Any], tuple[Any, Any]] | None = None
    state: type | None = None
