"""The protocol of frames, and the frame that changes nothing."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import numpy as np

from gradtx.core.traits import Narrowing, Traits
from gradtx.errors import describe
from gradtx.shown import ShownAsCall

Leaf = jax.ShapeDtypeStruct
"""The shape and type that a leaf of the parameters has outside the frame."""


class Frame(Narrowing):
    """Other coordinates for the leaves of a tree: `in_frame(tx, frame)` runs a transformation in them.

    Write a frozen dataclass that inherits from this class: it must compare, hash and pickle. `into` and `out` are
    linear, and each is the transpose of the other. What the coordinates depend on, such as a basis, is kept for each
    leaf between steps: the basis in the arguments below, an array, a tree of arrays, or None.

    In every step the wrapper calls `learn`. In the first one, and then every `period` steps, it also calls `refresh`,
    for leaves of some shapes earlier by their `phase`. Then it calls `into` and `out` with the new basis.

    needs_matrices: whether it treats leaves of two axes as matrices; its wrapper then declares the trait.
    """

    needs_matrices: ClassVar[bool] = True

    @property
    def period(self) -> int | None:
        """Steps between two calls of `refresh`; None: the coordinates never change."""
        return None

    def narrowed(self, traits: Traits) -> Traits:
        """The traits of a wrapper that runs something in this frame."""
        return dataclasses.replace(traits, needs_matrices=traits.needs_matrices or self.needs_matrices)

    def phase(self, leaf: Leaf) -> int:
        """How many steps before the others such a leaf is refreshed, after the first step, to spread the work."""
        return 0

    @property
    def carries(self) -> tuple[str, ...]:
        """What `in_frame` may do with the inner state at a refresh; the first one is usual.

        "turn", "turn_signed" and "keep", as there. The first two need `carry`.
        """
        return ("turn", "turn_signed", "keep")

    def takes(self, leaf: Leaf) -> bool:
        """Whether such a leaf gets other coordinates. Those that it does not take pass as they are.

        Raises: ValueError: it should, and cannot. The wrapper adds the name of the leaf.
        """
        raise NotImplementedError(f"{type(self).__name__} has no takes")

    def into(self, basis: Any, x: jax.Array) -> jax.Array:
        """A leaf in the coordinates of the frame."""
        raise NotImplementedError(f"{type(self).__name__} has no into")

    def out(self, basis: Any, y: jax.Array, leaf: Leaf) -> jax.Array:
        """The transpose of `into`: an array of the shape of the leaf."""
        raise NotImplementedError(f"{type(self).__name__} has no out")

    def init(self, leaf: Leaf, salt: np.ndarray) -> Any:
        """The basis before the first step. `salt` has two words of random bits, uint32, of its own for each leaf."""
        return None

    def begin(self, basis: Any, x: jax.Array) -> jax.Array:
        """A parameter in the first coordinates, from which the inner state is made; `into`, perhaps in a shorter
        way."""
        return self.into(basis, x)

    def learn(self, basis: Any, g: jax.Array) -> Any:
        """The basis after a step has seen the update g. Later coordinates may be made from it."""
        return basis

    def refresh(self, basis: Any, g: jax.Array, first: jax.Array) -> Any:
        """New coordinates. `first`, a bool scalar, says whether these are the first ones."""
        return basis

    def words(self, leaf: Leaf) -> str:
        """For `plan`: in which coordinates such a leaf is, or why it keeps its own."""
        return ""

    def carry(self, role: str, y: jax.Array, old: Any, new: Any, leaf: Leaf) -> jax.Array:
        """What becomes of a field of the inner state when the basis changes.

        Args:
            role: "signed", "exact", "nonnegative" or "magnitude".
            y: the field, in the old coordinates. It may have more axes in front, and length 1 along the last two.
            old, new: the bases.
            leaf: the shape and type outside.
        """
        return y


def require_frame(**frames: Any) -> None:
    """Raise TypeError unless each value is a frame; a class or a function that makes one is not."""
    for name, frame in frames.items():
        if not isinstance(frame, Frame):
            called = f": call it, {frame.__name__}()" if callable(frame) and hasattr(frame, "__name__") else ""
            raise TypeError(f"{name} must be a frame, such as gradtx.frames.matrices(); got {describe(frame)}{called}")


@dataclasses.dataclass(frozen=True, repr=False)
class Identity(ShownAsCall, Frame):
    """See `identity`."""

    maker = "frames.identity"
    needs_matrices: ClassVar[bool] = False

    def takes(self, leaf: Leaf) -> bool:
        """No leaf."""
        return False


def identity() -> Frame:
    """The coordinates that the leaves have: nothing changes, to the bit.

    Example:
        >>> import gradtx
        >>> gradtx.in_frame(gradtx.scale(2.0), gradtx.frames.identity())
        in_frame(inner=scale(step_size=2.0), frame=frames.identity())
    """
    return Identity()
