"""Several transformations, applied one after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gradtx.core.deferred import Shared, deferred, is_staged, settled
from gradtx.core.pair import GradientTransformation, require_changeable
from gradtx.core.special import SpecialLeaf
from gradtx.core.states import EmptyState
from gradtx.core.traits import Closures
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten
from gradtx.values.value import member_names


@transformation(any_leaves=True, sparse_rows=True, sign=lambda given, signs: math.prod(signs))
def chain(*members: Transformation, **named: Transformation):
    """Apply transformations in order: each gets the updates of the one before it.

    Members may be transformations of gradtx or optax, or bare pairs `(init, update)`. `chain()` is the identity. A
    recipe or chain among the unnamed members is replaced by its members. So chains are associative, and a clip in front
    of `adam(...)` does not move Adam's entry in the state.

    Args:
        *members: transformations. Each has its own name, such as `scale_by_adam`; a second one is `scale_by_adam_1`.
        **named: transformations under names that you choose, applied after the unnamed ones. A chain among them stays
            one member.

    State: a dict, name -> state of the member. Members without state have no entry. The chain defines the order, not
        the dict.
    Raises:
        TypeError: a member is not a transformation; the state has an entry of no member.
        ValueError: two members have the same name; a member comes after one that sets the parameters, such as
            `compensate`.
    Source: optax's `chain`, whose state is a tuple: there, every change of the chain moves entries. What is `state[0]`
        or `state[-1]` there is `state["scale_by_adam"]` here.

    Example:
        >>> import gradtx
        >>> gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.sgd(0.1))
        chain(clip_by_global_norm(max_norm=1.0), sgd(learning_rate=0.1))
    """
    by_name(members, named)
    steps = by_name(tuple(piece for member in members for piece in spliced(member)), named)
    for member in list(steps.values())[:-1]:
        require_changeable("chain", member)
    plans = {name: step._plan for name, step in steps.items()}
    last = next(reversed(plans), None)

    def init(params):
        return entries({name: plan.init(params) for name, plan in plans.items()})

    def through(stepping: str | None) -> Callable:
        def update(updates, state, params=None, **extra):
            state = known_entries("chain", plans, updates, state)
            states, shared = {}, joined(updates)
            for name, plan in plans.items():
                before, given = state.get(name, EmptyState()), plan.extras.taken(extra)
                if shared is not None and plan.traits.leafwise:
                    shared.member, updates = name, deferred(updates, shared)
                elif shared is not None:
                    updates, states = settled((updates, states))
                updates, states[name] = plan.update(updates, before, params, given, step=name == stepping)
                if shared is not None and not plan.traits.leafwise:  # what it returns may have special leaves
                    shared = joined(updates)
            return settled((updates, entries(states))) if shared is not None else (updates, entries(states))

        return update

    # In a step, the last member returns the new parameters.
    return Closures(init, through(None), through(last) if plans else None, state=dict)


def joined(updates: Any) -> Shared | None:
    """What the leaves share if they can be deferred: under a trace, and if none of them is special."""
    leaves = flatten(updates)[0]
    plain = any(map(is_staged, leaves)) and not any(isinstance(x, SpecialLeaf) for x in leaves)
    return Shared() if plain else None


def known_entries(who: str, plans: dict[str, Any], updates: Any, state: Any) -> dict[str, Any]:
    """The states of members by name; TypeError if the state has an entry that belongs to no member.

    A chain of members without state may be given another empty state, such as None.
    """
    if not isinstance(state, dict):
        return {}
    unknown = sorted(map(str, state.keys() - plans.keys()))
    if unknown and isinstance(updates, dict) and updates and updates.keys() <= plans.keys():
        raise TypeError(f"{who}: updates and state are swapped: call update(updates, state, params)")
    if unknown:
        raise TypeError(
            f"{who}: the state has an entry {unknown[0]!r}; the members are {list(plans)}. "
            f"Make the state with this {who}'s own init"
        )
    return state


def by_name(members: tuple, named: dict[str, GradientTransformation]) -> dict[str, GradientTransformation]:
    """All members by name; ValueError if two have the same."""
    names = member_names(members)
    twice = sorted(set(names) & named.keys())
    if twice:
        raise ValueError(f"there are two members named {twice[0]!r}: choose another name")
    return {**dict(zip(names, members, strict=True)), **named}


def entries(states: dict[str, Any]) -> dict[str, Any]:
    """The states of the members by name, without empty ones."""
    return {name: state for name, state in states.items() if not isinstance(state, EmptyState)}


def spliced(member: GradientTransformation) -> tuple[GradientTransformation, ...]:
    """The members of an unnamed chain, at any depth; for any other transformation, its piece."""
    piece = member.piece
    if piece.made_by is not chain or piece.named:
        return (piece,)
    return tuple(step for inner in piece.members for step in spliced(inner))
