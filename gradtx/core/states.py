"""States: those of the core itself, what the fields of a state hold, and the last touch after `init`."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import jax

from gradtx.core.errors import describe


class EmptyState(NamedTuple):
    """The state of a transformation that keeps nothing; a chain has no entry for it."""


class HyperparametersState(NamedTuple):
    """The state of a transformation some of whose hyperparameters change: by schedules, or by hand after `inject`.

    count: updates done; int32 scalar, 0 at init; it stops at 2**31 - 1.
    hyperparameters: name -> the value that the last update used (at init: that the first will use); float scalars.
    inner: the state of the transformation itself.
    """

    count: jax.Array
    hyperparameters: dict[str, jax.Array]
    inner: Any


def require_scheduled(name: str, scheduled: Iterable[str], state: Any) -> None:
    """Raise TypeError unless the state holds exactly these hyperparameters, and say what to do."""
    if isinstance(state, HyperparametersState) and state.hyperparameters.keys() == set(scheduled):
        return
    kept = "new._replace(inner=old) keeps what it has learned"
    if isinstance(state, EmptyState):
        kept = "in a chain, {**tx.init(params), **old_state} keeps what other members have"
    raise TypeError(
        f"{name} has schedules for {sorted(scheduled)}: its state is a HyperparametersState with "
        f"those names; got {describe(state)}. Make the state with this transformation's own init; {kept}"
    )


_FINISHERS: list[Callable[[Any, Any], Any]] = []


def finishes_states(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let `function(state, params) -> state` change every state that an `init` has made: to place it, for example."""
    _FINISHERS.append(function)
    return function


def finished(state: Any, params: Any) -> Any:
    """A state as an `init` returns it, after everyone that `finishes_states`."""
    for function in _FINISHERS:
        state = function(state, params)
    return state


@dataclasses.dataclass(frozen=True)
class Role:
    """What a field like the parameters holds: "signed", "nonnegative" or "exact"."""

    name: str


Signed = Annotated[Any, Role("signed")]
"""Numbers of both signs, as running means of gradients: they may be rounded, small ones to zero."""

NonNegative = Annotated[Any, Role("nonnegative")]
"""What updates are divided by, as running means of squares: rounded, what is not zero must never become zero."""

Exact = Annotated[Any, Role("exact")]
"""What must not be rounded: copies of parameters, signs, sums that outgrow what is added to them."""

ROLES = ("signed", "nonnegative", "exact")


@functools.cache
def declared_roles(kind: type) -> dict[str, str]:
    """The roles that a state's class declares, by field: `mu: Signed` gives {"mu": "signed"}.

    An annotation that cannot be read, as in other libraries, declares nothing.
    """
    if not (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return {}
    found = {}
    for field, annotation in getattr(kind, "__annotations__", {}).items():
        text = getattr(annotation, "__forward_arg__", annotation)
        if isinstance(text, str):
            try:
                annotation = eval(text, dict(vars(sys.modules[kind.__module__])))
            except Exception:
                continue
        roles = [x.name for x in getattr(annotation, "__metadata__", ()) if isinstance(x, Role)]
        found.update({field: roles[0]} if roles else {})
    return found
