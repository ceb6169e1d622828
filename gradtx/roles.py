"""The roles that the classes of states declare, by field."""

from __future__ import annotations

import functools
import sys

from gradtx.core.states import RANDOM_KEY, Role


def declared_roles(kind: type) -> dict[str, str]:
    """The roles that the class of a state declares, by field: `mu: Signed` gives {"mu": "signed"}.

    An annotation that cannot be evaluated, as in other libraries, declares no role.
    """
    return {field: roles[0] for field, roles in _all_roles(kind).items()}


def turning_roles(kind: type) -> dict[str, str]:
    """The same, as far as they tell how a field changes in other coordinates."""
    return {field: roles[-1] for field, roles in _all_roles(kind).items()}


@functools.cache
def _all_roles(kind: type) -> dict[str, list[str]]:
    found = {}
    for field, metadata in _metadata(kind).items():
        roles = [x.name for x in metadata if isinstance(x, Role)]
        found.update({field: roles} if roles else {})
    return found


@functools.cache
def random_keys(kind: type) -> list[str]:
    """The fields that a class of states declares as `RandomKey`."""
    return [field for field, metadata in _metadata(kind).items() if RANDOM_KEY in metadata]


def _metadata(kind: type) -> dict[str, tuple]:
    """What the annotation of each field of a class of states says besides the type."""
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
        found[field] = getattr(annotation, "__metadata__", ())
    return found
