"""Special things in a tree, which only some transformations can take: the protocol that they follow.

A gradient that names its rows is one, leaves joined into a vector are another. The core asks them what they need and
what to do with them, and knows none by name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import jax


class RefusedError(Exception):
    """A transformation cannot take what it was given; the core fills in who that is.

    piece: the innermost transformation, which cannot. asked: the outermost, which the caller called.
    """

    piece: str = ""
    asked: str = ""


class Special:
    """What stands in a tree of updates or parameters and is no plain array or container.

    needs: the trait that a piece must declare to be given one.
    """

    __slots__ = ()
    needs: ClassVar[str]

    @abstractmethod
    def refusal(self, piece: str, leaf: str) -> Exception | None:
        """The error for a piece without the trait; `leaf` is the path. None where it may have this one all the same."""


class SpecialLeaf(Special):
    """One that stands for one array, and has its `shape` and `dtype`, although JAX would open it."""

    __slots__ = ()

    def prepared(self, what: str) -> SpecialLeaf:
        """As a piece with the trait is given it; `what` is its name in errors."""
        return self

    @abstractmethod
    def opened(self, others: Sequence[Any], idle: Sequence[Any] | None) -> tuple:
        """The arrays for a leaf function: its own, and the parts of the others that belong to it; see `map_leaves`."""

    @abstractmethod
    def closed(self, results: tuple, others: Sequence[Any]) -> tuple:
        """The results of a leaf function as leaves again: a special one, and the others with their new parts."""

    @abstractmethod
    def added_to(self, parameter: Any) -> jax.Array:
        """The parameter after this update."""

    @abstractmethod
    def entries(self) -> jax.Array:
        """Its numbers, each once: those that count in a norm."""


def is_leaf(x: Any) -> bool:
    """Whether this is one leaf although JAX would open it: None or a special leaf. The `is_leaf` for updates."""
    return x is None or isinstance(x, SpecialLeaf)


def is_special_node(x: Any) -> bool:
    """Whether this is a special container, whose leaves are not those of the tree it stands for."""
    return isinstance(x, Special) and not isinstance(x, SpecialLeaf)
