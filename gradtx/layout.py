"""How the leaves of a tree are joined into vectors, and the error of a transformation that needs single leaves."""

from __future__ import annotations

import weakref
from typing import Any

import jax

from gradtx.core.special import RefusedError


class Layout:
    """How the leaves of a tree are joined into vectors.

    There is one object for each layout, so two layouts are compared by identity, which is fast for any number of
    leaves: a jitted function compares them in every call.

    Attributes:
        structure: structure of the tree.
        names, shapes: names and shapes of its leaves, in order.
        groups: name of a dtype -> indices of the leaves that are joined into its vector.
        types: for each leaf the name of the dtype whose vector it is in; None for the others.
        alone: indices of the other leaves.
        keys: keys of the vectors, then of the other leaves, for key paths.
    """

    def __init__(self, structure: Any, names: tuple[str, ...], shapes: tuple, types: tuple[str | None, ...]):
        self.structure, self.names, self.shapes, self.types = structure, names, shapes, types
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
        # The structure is pickled as a tree of the user's containers, which know how to pickle themselves.
        skeleton = jax.tree.unflatten(self.structure, range(len(self.names)))
        return _again, (skeleton, self.names, self.shapes, self.types)

    def __copy__(self) -> Layout:
        return self

    def __deepcopy__(self, memo: dict) -> Layout:
        return self

    def __repr__(self) -> str:
        return f"<{len(self.names) - len(self.alone)} of {len(self.names)} leaves joined>"


_layouts: weakref.WeakValueDictionary[tuple, Layout] = weakref.WeakValueDictionary()


def layout_of(structure: Any, names: tuple[str, ...], shapes: tuple, types: tuple[str | None, ...]) -> Layout:
    """The layout of a tree.

    Args:
        structure: structure of the tree.
        names, shapes: names and shapes of its leaves.
        types: dtype names of the leaves that are joined; None for the others.
    """
    key = (structure, names, shapes, types)
    return _layouts.setdefault(key, _layouts.get(key) or Layout(*key))


def _again(skeleton: Any, *rest: Any) -> Layout:
    return layout_of(jax.tree.structure(skeleton), *rest)


class JoinedLeavesError(RefusedError, ValueError):
    """A transformation that depends on single leaves got a tree in which small leaves are joined."""

    def __init__(self, piece: str):
        super().__init__(piece)
        self.piece = piece

    def __str__(self) -> str:
        inside = f"{self.asked}: " if self.asked and self.asked != self.piece else ""
        return (
            f"{inside}{self.piece} may depend on how numbers are divided into leaves, or on the names of leaves, and "
            f"`pack` has joined the small leaves into one vector. Use parameters without pack, or leave {self.piece} "
            f"out. If your own transformation does not depend on the division, declare it: "
            f"@transformation(any_leaves=True). gradtx cannot know this of other libraries' transformations"
        )
