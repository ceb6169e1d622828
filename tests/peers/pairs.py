"""The pairs that the catalog says are the same algorithm: gradtx's transformation, and how another library makes it."""

from __future__ import annotations

import inspect
import operator
from typing import Any, NamedTuple

import pytest

from gradtx.catalog import ENTRIES, RECIPES, Entry, Peer

RATE = 0.1


class Pair(NamedTuple):
    """A setting of the catalog and its peer in a library."""

    entry: Entry
    setting: str
    peer: Peer

    @property
    def tx(self) -> Any:
        """gradtx's transformation, with the arguments that make it the same as the peer."""
        return self.entry.make(self.setting, **{**self.rate, **self.peer.ours})

    @property
    def usual(self) -> Any:
        """gradtx's transformation, with the usual arguments."""
        return self.entry.make(self.setting, **self.rate)

    @property
    def rate(self) -> dict[str, float]:
        """The learning rate, for both."""
        return {"learning_rate": RATE} if self.entry.kind == "recipe" else {}

    def in_optax(self, optax: Any) -> Any:
        """optax's transformation, with our arguments: those that both have are called the same."""
        factory = operator.attrgetter(self.peer.name)(optax)
        ours = {**self.entry.arguments(self.setting), **self.rate, **self.peer.ours}
        known = inspect.signature(factory).parameters
        return factory(**{**{k: v for k, v in ours.items() if k in known}, **self.peer.theirs})


def pairs(library: str) -> list[Any]:
    """The pairs of a library that do the same, as parameters of a test."""
    found = []
    for entry in ENTRIES.values():
        for name, setting in entry.settings.items():
            peer = getattr(setting, library)
            if entry.kind in ("piece", "recipe") and peer and (peer.ours or not peer.differs):
                found.append(pytest.param(Pair(entry, name, peer), id=f"{entry.name} {name}".strip()))
    return found


def names(library: str) -> list[str]:
    """The names of all peers in a library, but those of schedules."""
    settings = [s for e in ENTRIES.values() if e.kind != "schedule" for s in e.settings.values()]
    return sorted({getattr(s, library).name for s in settings if getattr(s, library)})


def recipe(label: str) -> Any:
    """The factory of the recipe that people call so."""
    return next(entry.factory for entry in RECIPES.values() if entry.settings[""].label == label)


def needed(library: str) -> list[Any]:
    """The pairs of a library that do the same only with arguments that are not the usual ones."""
    return [param for param in pairs(library) if param.values[0].peer.ours]
