"""What the core itself keeps between steps: nothing, or the hyperparameters that change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

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
