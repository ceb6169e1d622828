"""What becomes of an inner state when the basis of a frame changes: each field goes by the role that it declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq, safe_sqrt
from gradtx.core.trees import flatten_with_paths, is_trained, path_name, shape_of
from gradtx.roles import turning_roles

Turn = Callable[[str, int, jax.Array], jax.Array]
"""`(role, index of the parameter, field) -> field` in the new coordinates."""

TURNED = {
    "turn": ("signed", "exact", "nonnegative", "magnitude"),
    "turn_signed": ("signed", "exact"),
    "keep": (),
}
"""The roles whose fields go to the new coordinates."""


def carried(state: Any, inside: Any, roles: tuple[str, ...], turn: Turn | None = None) -> Any:
    """The inner state, with its fields of these roles turned.

    Args:
        state: an inner state.
        inside: the parameters in the coordinates of the frame, or their shapes; None for leaves that it does not take.
        roles: the roles whose fields are turned.
        turn: turns one field of one leaf; None to check only.

    Raises: ValueError: a field that is like a parameter has no role, or a field with a role has another shape.
    """
    owners = {path: (k, x) for k, (path, x) in enumerate(flatten_with_paths(inside)[0])}

    def owner(path: tuple) -> tuple[int, Any]:
        found = (owners.get(path[start:]) for start in range(len(path) + 1))
        return next((x for x in found if x is not None), (-1, None))

    def field(path: tuple, tree: Any, role: str) -> Any:
        entries, structure = flatten_with_paths(tree)
        return jax.tree.unflatten(structure, [one((*path, *end), x, role) for end, x in entries])

    def one(path: tuple, x: Any, role: str) -> Any:
        k, own = owner(path)
        if own is None or x is None or not shape_of(x):
            return x
        if not is_trained(x) or not _fits(shape_of(x), shape_of(own)):
            raise ValueError(
                f"the state at {path_name(path)} has shape {shape_of(x)} and type {jnp.result_type(x)}, where its "
                f"leaf has shape {shape_of(own)} in the frame, so it cannot follow when the frame turns: give "
                f"carry='keep', or put what changes its form, such as store, outside of in_frame"
            )
        return x if turn is None else turn(role, k, x)

    def bare(path: tuple, x: Any) -> Any:
        _, own = owner(path)
        if own is not None and is_trained(x) and _follows(shape_of(x), shape_of(own)):
            raise ValueError(
                f"the state at {path_name(path)}, of shape {shape_of(x)}, belongs to a leaf of shape {shape_of(own)} "
                f"in the frame, and its field has no role, so it cannot follow when the frame turns: if it has the "
                f"shape of its leaf, annotate the field in the class of the state (gradtx.storage.Signed, NonNegative, "
                f"Magnitude or Exact); else leave this transformation out of the frame, or give carry='keep'"
            )
        return x

    def node(path: tuple, tree: Any) -> Any:
        entries, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)
        if not entries:
            return tree
        if not entries[0][0]:  # a leaf is its own only entry
            return bare(path, tree)
        declared, children = turning_roles(type(tree)), []
        for key, child in entries:
            here, role = (*path, *key), declared.get(path_name(key))
            if role is None:
                children.append(node(here, child))
            else:
                children.append(field(here, child, role) if role in roles else child)
        return jax.tree.unflatten(structure, children)

    return node((), state)


def _follows(shape: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """Whether a field would have to turn with its leaf: it has the leaf's shape, or is a square of one of its sides."""
    return bool(shape) and (_fits(shape, own) or (len(shape) > 1 and shape[-1] == shape[-2] and shape[-1] in own[-2:]))


def _fits(shape: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """Whether the last axes are those of the leaf, the last two perhaps of length 1."""
    if len(shape) < len(own):
        return False
    last = shape[len(shape) - len(own) :]
    return last[:-2] == own[:-2] and all(n in (1, mine) for n, mine in zip(last[-2:], own[-2:], strict=True))


def along_rows(matrix: jax.Array, role: str, y: jax.Array) -> jax.Array:
    """A field whose coordinates along its rows, the last axis but one, change by y → Rᴴ·y; see `along_columns`."""
    return jnp.swapaxes(along_columns(matrix.conj(), role, jnp.swapaxes(y, -1, -2)), -1, -2)


def along_columns(matrix: jax.Array, role: str, y: jax.Array) -> jax.Array:
    """A field whose coordinates along its columns, the last axis, change by y → y·R.

    Signed and exact fields are vectors, and change so. Of a second moment, the diagonal of a covariance C in the old
    coordinates, the new diagonal is that of RᴴCR. Where C has no other entries, that is y·(R∘R), which keeps the sign,
    and for an orthogonal R the sum. A magnitude, a divisor that is not a square, changes as the root of such a
    diagonal: then a permutation of the coordinates permutes it, and it stays of the first degree in the gradient.
    """
    if y.shape[-1] == 1 and matrix.shape[-2] != 1:
        return y  # one number for all coordinates
    if role == "magnitude":
        size = jnp.max(jnp.abs(y), initial=0.0)  # so that no square overflows or underflows
        size = jnp.where((size > 0) & jnp.isfinite(size), size, jnp.ones_like(size))
        return size * safe_sqrt(along_columns(matrix, "nonnegative", (y / size) ** 2))
    if role == "nonnegative":
        matrix = abs_sq(matrix)
    dtype = jnp.result_type(y) if jnp.iscomplexobj(y) or not jnp.iscomplexobj(matrix) else matrix.dtype
    front = (1,) * (y.ndim - matrix.ndim)
    return jnp.matmul(y.astype(dtype), matrix.astype(dtype).reshape(*front, *matrix.shape), precision="highest")
