"""The fields of a state that a codec may encode: those with a role, declared by pieces or given by the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from gradtx.core.trees import path_name
from gradtx.roles import declared_roles


class Stored(NamedTuple):
    """A field between steps: three trees like the field; each leaf is in `exact` or in `codes`, and None in the other.

    exact: the leaves that are not encoded.
    codes: the codes of the others.
    scales: the scales of the codes; None for codecs without scales.
    """

    exact: Any
    codes: Any
    scales: Any


class StoreState(NamedTuple):
    """The state of `store`.

    count: updates done, int32 scalar; 0 at init. The random bits of the rounding depend on it.
    inner: the inner transformation's state, with a `Stored` in place of each field that has a role.
    """

    count: jax.Array
    inner: Any


Given = Mapping[str, str]
"""Roles by the name of a field, or by the end of its path: `{"mu": "signed", "adam/nu": "nonnegative"}`."""


def map_fields(
    change: Callable[[tuple, Any, str], Any],
    bare: Callable[[tuple, Any], Any],
    state: Any,
    given: Given,
    path: tuple = (),
) -> Any:
    """The state with `change(path, field, role)` for every field with a role, and `bare(path, leaf)` for other leaves.

    The search goes from the outside in: a field includes everything inside it. A `store` inside stays unchanged.
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
    """The role that the user gave for a path or the end of one."""
    name = path_name(path) if given else ""
    return next((role for end, role in given.items() if name == end or name.endswith(f"/{end}")), None)
