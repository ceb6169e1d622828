"""The protocol of special leaves and nodes, which only some transformations accept.

Examples are a row-sparse gradient, and leaves that are joined into a vector. The core knows none of them by name: it
asks them which trait they need, and how to treat them.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import jax


class RefusedError(Exception):
    """A transformation cannot process its arguments. The core fills in the names.

    piece: the innermost transformation, which fails. asked: the outermost one, which the user called.
    """

    piece: str = ""
    asked: str = ""


@contextlib.contextmanager
def refusals_name(name: str) -> Iterator[None]:
    """Write the name of a transformation into a `RefusedError` that leaves it."""
    try:
        yield
    except RefusedError as error:
        error.piece = error.piece or name
        error.asked = name
        raise


class Special:
    """An object in a tree of updates or parameters that is neither a plain array nor a plain container.

    needs: the trait that a piece must declare to receive it.
    """

    __slots__ = ()
    needs: ClassVar[str]

    @abstractmethod
    def refusal(self, piece: str, leaf: str) -> Exception | None:
        """The error for a piece without the trait; `leaf` is the path. None if the piece may still receive this one."""


class SpecialLeaf(Special):
    """One that takes the place of one array, with its `shape` and `dtype`, although JAX sees a container."""

    __slots__ = ()

    def prepared(self, what: str) -> SpecialLeaf:
        """The form in which a piece with the trait receives it; `what` is its name in errors."""
        return self

    @abstractmethod
    def opened(self, others: Sequence[Any], idle: Sequence[Any] | None) -> tuple:
        """The arrays for a leaf function: its own, and the corresponding parts of `others`; see `map_leaves`."""

    @abstractmethod
    def closed(self, results: tuple, others: Sequence[Any]) -> tuple:
        """Leaves from the results of a leaf function: a special one, and `others` with their new parts."""

    @abstractmethod
    def added_to(self, parameter: Any) -> jax.Array:
        """The parameter after this update."""

    @abstractmethod
    def entries(self) -> jax.Array:
        """Its numbers, each once, for a norm."""

    @abstractmethod
    def replaced(self, values: Any) -> SpecialLeaf:
        """The same places with other numbers, in the order of `entries` of a prepared one."""


def is_leaf(x: Any) -> bool:
    """Whether this is one leaf although JAX sees a container: None or a special leaf. The `is_leaf` for updates."""
    return x is None or isinstance(x, SpecialLeaf)


def is_container(x: Any) -> bool:
    """Whether this is a special container; its leaves differ from those of the tree that it represents."""
    return isinstance(x, Special) and not isinstance(x, SpecialLeaf)
