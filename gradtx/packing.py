"""Packing: small leaves joined into one vector, which is trained, and unpacked inside the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.deferred import is_staged
from gradtx.core.special import Special
from gradtx.core.trees import flatten, is_trained, leaf_names, require_arrays, shape_of
from gradtx.errors import describe, whole
from gradtx.layout import JoinedLeavesError, Layout, layout_of
from gradtx.storage.fields import Stored


class Packed(Special):
    """A tree whose small leaves are joined into one vector for each type. A pytree of the vectors and the other leaves.

    `pack` makes it. Gradients with respect to it, updates and moments have the same form. In key paths the vectors are
    called `packed_float32` and so on; the other leaves keep their names.
    """

    needs = "any_leaves"
    __slots__ = ("_layout", "_parts")

    def __init__(self, layout: Layout, parts: tuple):
        # No checks here: this also runs when a pytree is put together again from whatever a tool left in its leaves.
        self._layout, self._parts = layout, parts

    @property
    def vectors(self) -> dict[str, Any]:
        """The vectors, by the name of the type that their leaves had."""
        return dict(zip(self._layout.groups, self._parts, strict=False))

    @property
    def alone(self) -> dict[str, Any]:
        """The leaves that are not joined, by path: large ones, ones split over devices, ones that are not trained."""
        names, parts = self._layout.names, self._parts[len(self._layout.groups) :]
        return {names[k]: x for k, x in zip(self._layout.alone, parts, strict=True)}

    def unpack(self) -> Any:
        """The tree again; see the function `unpack`."""
        layout, leaves = self._layout, [None] * len(self._layout.names)
        for (name, places), vector in zip(layout.groups.items(), self._parts, strict=False):
            for k, leaf in zip(places, _split(name, vector, [layout.shapes[k] for k in places]), strict=True):
                leaves[k] = leaf
        for k, leaf in zip(layout.alone, self._parts[len(layout.groups) :], strict=True):
            leaves[k] = leaf
        return jax.tree.unflatten(layout.structure, leaves)

    def refusal(self, piece: str, leaf: str) -> Exception | None:
        """The error of a piece that looks at each leaf; None where no leaf is joined."""
        return JoinedLeavesError(piece) if self.vectors else None

    def __repr__(self) -> str:
        counts = {name: len(places) for name, places in self._layout.groups.items()}
        counts["alone"] = len(self._layout.alone)
        return f"Packed({', '.join(f'{name}: {n} leaves' for name, n in counts.items() if n)})"


jax.tree_util.register_pytree_with_keys(
    Packed,
    lambda packed: (zip(packed._layout.keys, packed._parts, strict=True), packed._layout),
    lambda layout, parts: Packed(layout, tuple(parts)),
    lambda packed: (packed._parts, packed._layout),
)


def is_packed(x: Any) -> bool:
    """Whether this is a `Packed`; the `is_leaf` for trees with some inside."""
    return isinstance(x, Packed)


def pack(params: Any, threshold: int = 65536, *, like: Any = None) -> Any:
    """Join the small leaves of the parameters into one vector for each type, and train that.

        packed = gradtx.pack(params)
        state = tx.init(packed)
        grads = jax.grad(lambda packed: loss(packed.unpack()))(packed)
        packed, state = tx.step(grads, state, packed)

    A step then handles a few leaves instead of a thousand. Large leaves would become slower, and are not joined.
    Transformations that depend on the division into leaves (norms of leaves, rules for paths, matrix methods) refuse
    packed parameters.

    Call this outside jit: only there it sees which leaves are split over devices, and leaves them alone. Each device
    has the whole of the vectors.

    Args:
        params: arrays, numbers or `jax.ShapeDtypeStruct`s. Leaves that are not trained stay as they are.
        threshold: join leaves with fewer elements than this; a whole number, at least 0. With 0 none is joined.
        like: a `Packed`, or a tree with some inside, such as `tx.init(packed)`. Leaves are joined as there, whatever
            their size. Use this to pack a state that was saved unpacked.

    Returns: a `Packed`; with `like`, a tree in its form.
    Raises:
        ValueError: `threshold` is below 0, small leaves lie on different devices, or a tree does not fit `like`.
        TypeError: the parameters are packed already, a leaf is not an array, or nothing in `like` is packed.
    Differs from `jax.flatten_util.ravel_pytree`: large leaves stay alone, and types are kept.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> packed = pack({"w": jnp.ones((2, 2)), "b": jnp.zeros(2)})
        >>> print(packed.vectors["float32"], packed.unpack()["w"].shape)
        [0. 0. 1. 1. 1. 1.] (2, 2)
    """
    if like is not None:
        return _pack_like(params, like)
    whole(0, threshold=threshold)
    if any(map(is_packed, jax.tree.leaves(params, is_leaf=is_packed))):
        raise TypeError("these parameters are packed already: unpack them first")
    require_arrays("parameter", params)
    leaves, structure = jax.tree.flatten(params)
    named = zip(leaf_names(params), flatten(params)[0], strict=True)
    names = tuple(name for name, leaf in named if leaf is not None)
    types = tuple(jnp.result_type(x).name if _is_small(x, threshold) else None for x in leaves)
    return _joined(layout_of(structure, names, tuple(map(shape_of, leaves)), types), leaves)


def unpack(tree: Any) -> Any:
    """Unpack everything packed in a tree: parameters inside the loss, or a state to save or inspect it.

    Under jit a vector is split once, and the derivative of that is one concatenation. If a vector has further axes in
    front (the memory of L-BFGS, a sweep), each leaf has them too.

    Args:
        tree: a `Packed`, or any tree with some inside. The rest stays as it is. Codes made by `store` stay too, because
            their blocks go across leaves.

    Raises:
        ValueError: the length of a vector is not that of its leaves together. TypeError: it is not an array.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.add_momentum(0.9).init(pack({"w": jnp.ones((2, 2))}))
        >>> unpack(state).trace["w"].shape
        (2, 2)
    """
    return jax.tree.map(
        lambda x: x.unpack() if is_packed(x) else x, tree, is_leaf=lambda x: is_packed(x) or isinstance(x, Stored)
    )


def _pack_like(tree: Any, like: Any) -> Any:
    targets, structure = jax.tree.flatten(like, is_leaf=is_packed)
    if not any(map(is_packed, targets)):
        raise TypeError(f"nothing in like is packed; got {describe(like)}: give the result of pack, or tx.init of it")
    parts = _up_to(structure, tree)
    packed = [
        _joined(target._layout, _up_to(target._layout.structure, part)) if is_packed(target) else part
        for target, part in zip(targets, parts, strict=True)
    ]
    return jax.tree.unflatten(structure, packed)


def _up_to(structure: Any, tree: Any) -> list:
    try:
        return structure.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the tree must have the containers and leaves of like: {error}") from None


def _is_small(leaf: Any, threshold: int) -> bool:
    """Whether to join a leaf: it is trained, below the threshold, and not split over devices."""
    if not is_trained(leaf) or math.prod(shape_of(leaf)) >= threshold:
        return False
    sharding = jax.typeof(leaf).sharding if isinstance(leaf, Tracer) else getattr(leaf, "sharding", None)
    return sharding is None or sharding.is_fully_replicated


def _joined(layout: Layout, leaves: list) -> Packed:
    vectors = [_join([(layout.names[k], layout.shapes[k], leaves[k]) for k in at]) for at in layout.groups.values()]
    return Packed(layout, (*vectors, *(leaves[k] for k in layout.alone)))


def _join(rows: list[tuple[str, tuple[int, ...], Any]]) -> Any:
    """Leaves, given with their names and the shapes of their parameters, as one vector; further axes stay in front."""
    if all(leaf is None for *_, leaf in rows):
        return None
    for name, _, leaf in rows:
        require_arrays("leaf", {name: leaf})
    first, shape, leaf = rows[0]
    front = shape_of(leaf)[: max(len(shape_of(leaf)) - len(shape), 0)]
    dtype = None if leaf is None else jnp.result_type(leaf)
    for name, shape, leaf in rows:
        came = "None" if leaf is None else f"{jnp.result_type(leaf)}{list(shape_of(leaf))}"
        expected = f"{dtype}{[*front, *shape]}"
        if came != expected:
            raise ValueError(f"the leaf at {name} is {came}; it must be {expected}, as {first} with which it is joined")
    where = _place([(name, leaf) for name, _, leaf in rows])
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for *_, leaf in rows):
        size = sum(math.prod(shape) for _, shape, _ in rows)
        return jax.ShapeDtypeStruct((*front, size), dtype, sharding=where)
    vector = jnp.concatenate([jnp.asarray(leaf, dtype).reshape(*front, -1) for *_, leaf in rows], axis=-1)
    return vector if where is None else jax.device_put(vector, where)


def _place(rows: list[tuple[str, Any]]) -> Any:
    """The sharding of leaves to be joined, where the user has put them somewhere; None if not, or if it is unknown."""
    known = [(name, x) for name, x in rows if not isinstance(x, Tracer) and getattr(x, "committed", True)]
    put = [(name, x.sharding) for name, x in known if getattr(x, "sharding", None) is not None]
    for name, sharding in put[1:]:
        if not sharding.is_equivalent_to(put[0][1], 0) or sharding.memory_kind != put[0][1].memory_kind:
            raise ValueError(
                f"the leaves at {put[0][0]} and {name} would be joined, but lie on different devices: {put[0][1]}, "
                f"{sharding}; move one of them, or pack them as separate trees"
            )
    return put[0][1] if put else None


def _split(name: str, vector: Any, shapes: list[tuple[int, ...]]) -> Iterable[Any]:
    """The leaves, of these shapes, that a vector is made of."""
    if vector is None:
        return [None] * len(shapes)
    if not hasattr(vector, "shape") or not hasattr(vector, "dtype"):
        raise TypeError(f"the vector of {name} leaves must be an array; got {describe(vector)}")
    sizes = [math.prod(shape) for shape in shapes]
    if vector.shape[-1:] != (sum(sizes),):
        raise ValueError(f"the vector of {name} leaves has shape {vector.shape}; its last axis must be {sum(sizes)}")
    front = vector.shape[:-1]
    if isinstance(vector, jax.ShapeDtypeStruct):
        return [jax.ShapeDtypeStruct((*front, *s), vector.dtype, sharding=vector.sharding) for s in shapes]
    if is_staged(vector):
        pieces = jax.lax.split(vector, sizes, axis=len(front))
    else:  # a split would compile a program for these leaves; one slice serves all leaves of a size
        starts = accumulate(sizes, initial=0)
        pieces = [jax.lax.dynamic_slice_in_dim(vector, at, n, axis=-1) for at, n in zip(starts, sizes, strict=False)]
    return [x.reshape(*front, *shape) for x, shape in zip(pieces, shapes, strict=True)]
