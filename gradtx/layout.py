"""How the leaves of a tree are joined into vectors, and the error of a transformation that needs them separate."""

from __future__ import annotations

import weakref
from typing import Any

import jax

from gradtx.core.special import RefusedError


class Layout:
    """How the leaves of a tree are joined into vectors.

    There is one object for each layout, so that comparing two is comparing addresses, however many leaves they have:
    a jitted function does it at every call.

    Attributes:
        structure: the tree's.
        names, shapes: of its leaves, in order.
        groups: the name of a type -> the places of the leaves that are joined to its vector.
        alone: the places of the others.
        keys: of the vectors, then of the leaves that stand alone, as in key paths.
    """

    def __init__(self, structure: Any, names: tuple[str, ...], shapes: tuple, types: tuple[str | None, ...]):
        self.structure, self.names, self.shapes, self._types = structure, names, shapes, types
        joined = {t: tuple(k for k, x in enumerate(types) if x == t) for t in types if t is not None}
        self.groups: dict[str, tuple[int, ...]] = joined
        self.alone = tuple(k for k, t in enumerate(types) if t is None)
        labels = [*(f"packed_{name}" for name in joined), *(names[k] for k in self.alone)]
        seen: set[str] = set()
        twice = next((x for x in labels if x in seen or seen.add(x)), None) if joined else None
        if twice is not None:
            raise ValueError(f"there are two leaves at {twice} in the packed tree: rename one of them")
        self.keys = tuple(map(jax.tree_util.DictKey, labels))

    def __reduce__(self):
        # The structure goes as a tree of the caller's own containers, which know how they are pickled.
        skeleton = jax.tree.unflatten(self.structure, range(len(self.names)))
        return _again, (skeleton, self.names, self.shapes, self._types)

    def __copy__(self) -> Layout:
        return self

    def __deepcopy__(self, memo: dict) -> Layout:
        return self

    def __repr__(self) -> str:
        return f"<{len(self.names) - len(self.alone)} of {len(self.names)} leaves joined>"


_layouts: weakref.WeakValueDictionary[tuple, Layout] = weakref.WeakValueDictionary()


def layout_of(structure: Any, names: tuple[str, ...], shapes: tuple, types: tuple[str | None, ...]) -> Layout:
    """The layout of a tree of this structure.

    Args:
        structure: the tree's.
        names, shapes: of its leaves.
        types: of those that are joined; None for the others.
    """
    key = (structure, names, shapes, types)
    return _layouts.setdefault(key, _layouts.get(key) or Layout(*key))


def _again(skeleton: Any, *rest: Any) -> Layout:
    return layout_of(jax.tree.structure(skeleton), *rest)


class JoinedLeavesError(RefusedError, ValueError):
    """A transformation that looks at each leaf was given a tree in which small leaves are joined."""

    def __init__(self, piece: str):
        super().__init__(piece)
        self.piece = piece

    def __str__(self) -> str:
        inside = f"{self.asked}: " if self.asked and self.asked != self.piece else ""
        return (
            f"{inside}{self.piece} may depend on how the numbers are divided into leaves, or on the leaves' names; "
            f"packed, the small leaves are one vector. Give it the parameters without pack, or leave {self.piece} out. "
            f"A transformation of your own to which the division makes no difference declares that: "
            f"@transformation(any_leaves=True); of another library's nothing is known"
        )
