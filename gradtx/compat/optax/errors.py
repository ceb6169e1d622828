"""Errors for arguments of optax that mean nothing here."""

from __future__ import annotations

from typing import Any


def refuse(who: str, instead: str, **arguments: Any) -> None:
    """ValueError for each argument that is not at its neutral value: `refuse("f", "use g", x=(value, neutral))`."""
    for name, (value, neutral) in arguments.items():
        same = value is neutral or (isinstance(value, int | float | str | bool) and value == neutral)
        if not same:
            raise ValueError(f"{who}: {name}={value!r} has no meaning here: {instead}")
