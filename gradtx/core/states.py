"""The states of the core, the roles of the fields of a state, and functions that run after every `init`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import jax

from gradtx.errors import describe


class EmptyState(NamedTuple):
    """The state of a transformation without state; a chain has no entry for it."""


class HyperparametersState(NamedTuple):
    """The state of a transformation with hyperparameters that follow schedules.

    count: int32 scalar, 0 at init: the number of updates; it stops at 2**31 - 1.
    hyperparameters: name -> float scalar: the value that the last update used; at init, the value for the first update.
    inner: the state of the transformation itself.
    """

    count: jax.Array
    hyperparameters: dict[str, jax.Array]
    inner: Any

    @property
    def hyperparams(self) -> Any:
        """optax's name, for which the AttributeError says what is here."""
        raise no_hyperparams(self)


def no_hyperparams(state: Any) -> AttributeError:
    """The error for optax's name of the hyperparameters in a state."""
    return AttributeError(
        f"{type(state).__name__} has no attribute 'hyperparams': gradtx.hyperparameters(state) reads the "
        f"hyperparameters of a state, and under inject gradtx.set_hyperparameters(state, learning_rate=x) returns a "
        f"state with another value"
    )


def require_scheduled(name: str, scheduled: Iterable[str], state: Any) -> None:
    """Raise TypeError, with advice, unless the state holds exactly these hyperparameters."""
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
    """Register `function(state, params) -> state` to run after every `init`, for example to place the state."""
    _FINISHERS.append(function)
    return function


def finished(state: Any, params: Any) -> Any:
    """The state after all functions that `finishes_states` registered."""
    for function in _FINISHERS:
        state = function(state, params)
    return state


@dataclasses.dataclass(frozen=True)
class Role:
    """The kind of numbers in a field of a state: "signed", "nonnegative", "magnitude" or "exact"."""

    name: str


Signed = Annotated[Any, Role("signed")]
"""Numbers of both signs, such as means of gradients: they may be rounded, small ones to zero."""

NonNegative = Annotated[Any, Role("nonnegative")]
"""Means of squares, whose root is a divisor: they may be rounded, but a nonzero number must not become zero."""

Magnitude = Annotated[Any, Role("magnitude")]
"""Divisors without a root, such as a maximum of |g|: they may be rounded as their squares would be."""

Exact = Annotated[Any, Role("exact")]
"""Numbers that must not be rounded: copies of parameters, signs, sums much larger than their terms."""

ExactMagnitude = Annotated[Any, Role("exact"), Role("magnitude")]
"""Positive numbers that must not be rounded, such as step sizes: in other coordinates they change as a `Magnitude`."""

RANDOM_KEY = "random key"

RandomKey = Annotated[jax.Array, RANDOM_KEY]
"""The data of a random key, uint32, the same at every step: `restart` makes another one of it."""

ROLES = ("signed", "nonnegative", "magnitude", "exact")
