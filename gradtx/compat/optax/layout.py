"""States in optax's layout: that of a chain is a tuple of all its members, that of `masked` has `inner_state`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gradtx
from gradtx.core.chain import by_name, spliced
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import EmptyState
from gradtx.core.transformation import Transformation, transformation

__all__ = ["MaskedState", "PartitionState", "from_layout", "to_layout", "with_state_in"]


class MaskedState(NamedTuple):
    """The state of `masked` and `freeze`."""

    inner_state: Any


class PartitionState(NamedTuple):
    """The state of `partition`: label -> the state of its transformation."""

    inner_states: dict[str, Any]


def is_chain(tx: GradientTransformation) -> bool:
    """Whether this is a chain, or a recipe that makes one, whose members have no names of their own."""
    return tx.piece.made_by is gradtx.chain and not tx.piece.named


def to_layout(tx: GradientTransformation, state: Any) -> Any:
    """The state of a chain as a tuple with an entry for each member, in which chains are tuples again."""
    if not is_chain(tx) or not isinstance(state, dict):
        return state
    names = iter(_names(tx))
    return _tuple(tx, lambda member: state.get(next(names), EmptyState()))


def from_layout(tx: GradientTransformation, state: Any) -> Any:
    """gradtx's state, from one in optax's layout."""
    if not is_chain(tx) or type(state) is not tuple:
        return state
    rows = dict(zip(_names(tx), _flat(tx, state), strict=True))
    return {name: x for name, x in rows.items() if not isinstance(x, EmptyState)}


def _names(tx: GradientTransformation) -> list[str]:
    return list(by_name(spliced(tx), {}))


def _tuple(tx: GradientTransformation, state_of: Any) -> tuple:
    return tuple(_tuple(m, state_of) if is_chain(m) else state_of(m) for m in tx.piece.members)


def _flat(tx: GradientTransformation, state: tuple) -> Iterator[Any]:
    members = tx.piece.members
    if len(members) != len(state):
        raise TypeError(f"{tx.name}: the state has {len(state)} entries; the chain has {len(members)} members")
    for member, x in zip(members, state, strict=True):
        if is_chain(member) and type(x) is tuple:
            yield from _flat(member, x)
        else:
            yield x


@transformation(sparse_rows=True)
def with_state_in(inner: Transformation, record: type):
    """The same, with its state in a named tuple of one field."""

    def init(params):
        return record(inner.init(params))

    def update(updates, state, params=None, **extra):
        updates, after = inner.update(updates, state[0], params, **extra)
        return updates, record(after)

    return init, update
