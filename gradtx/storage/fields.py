"""Where in a state the fields are that a codec may encode: by the roles that pieces declare, or the user gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from gradtx.core.states import declared_roles
from gradtx.core.trees import path_name


class Stored(NamedTuple):
    """A field as it is kept between steps: three trees like it, each with None where another holds the leaf.

    exact: leaves as they are. codes: those that a codec has encoded. scales: what their codes are relative to; None for
    codecs without.
    """

    exact: Any
    codes: Any
    scales: Any


class StoreState(NamedTuple):
    """Fields: count, inner."""

    count: jax.Array  # updates done, int32 scalar, from which the rounding takes its random bits; 0 at init
    inner: Any  # the inner transformation's state, with a `Stored` in place of each field that has a role


Given = Mapping[str, str]
"""Roles by the name of a field, or by the end of its path: `{"mu": "signed", "adam/nu": "nonnegative"}`."""


def map_fields(
    change: Callable[[tuple, Any, str], Any],
    bare: Callable[[tuple, Any], Any],
    state: Any,
    given: Given,
    path: tuple = (),
) -> Any:
    """The state with `change(path, field, role)` for every field that has a role, `bare(path, leaf)` for other leaves.

    Fields are looked for from outside: what is inside one belongs to it. A `store` inside keeps what it has.
    """
    if isinstance(state, StoreState):
        return state
    entries, structure = jax.tree_util.tree_flatten_with_path(state, is_leaf=lambda x: x is not state)
    if not entries:
        return state
    if not entries[0][0]:  # a leaf is its own only entry
        return bare(path, state)
    declared, children = declared_roles(type(state)), []
    for key, child in entries:
        here = (*path, *key)
        role = given_role(given, here) or declared.get(path_name(key))
        children.append(map_fields(change, bare, child, given, here) if role is None else change(here, child, role))
    return jax.tree.unflatten(structure, children)


def given_role(given: Given, path: tuple) -> str | None:
    """The role that was given for a path, by its end."""
    name = path_name(path) if given else ""
    return next((role for end, role in given.items() if name == end or name.endswith(f"/{end}")), None)
