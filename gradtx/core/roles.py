"""What the fields of a state hold, as their piece declares it: so a codec knows what rounding may do to them."""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Annotated, Any, NamedTuple


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


class Stored(NamedTuple):
    """A field as it is kept between steps: three trees like it, each with None where another holds the leaf.

    exact: leaves as they are. codes: those that a codec has encoded. scales: what their codes are relative to; None for
    codecs without.
    """

    exact: Any
    codes: Any
    scales: Any


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
