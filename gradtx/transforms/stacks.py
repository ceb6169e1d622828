"""Leaves of one shape as one stack of matrices, so that a program does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.trees import OwnShapes, beside, flatten, is_trained, leaf_names, require_arrays, shape_of
from gradtx.errors import one_of
from gradtx.meshes import anywhere, spec_of

VECTORS = ("diagonal", "pass", "refuse")
"""What may become of leaves that are not matrices."""

Shapes = Callable[[tuple[int, ...]], tuple[tuple[int, ...] | None, ...]]
"""The shape of a leaf -> the shape of its array in each field of the state, or None where it has none."""


def split_shape(shape: tuple[int, ...]) -> tuple[tuple[int, ...], int, int]:
    """The axes in front of the matrices of a leaf, and their sides; a vector or scalar is one row."""
    return (shape[:-2], shape[-2], shape[-1]) if len(shape) > 1 else ((), 1, math.prod(shape))


def require_vectors(who: str, vectors: str, params: Any) -> None:
    """Raise ValueError, naming the leaf, if `vectors` is "refuse" and one is not a matrix."""
    for name, p in zip(leaf_names(params), flatten(params)[0], strict=True):
        if vectors == "refuse" and is_trained(p) and len(shape_of(p)) < 2:
            raise ValueError(
                f"{who}: the parameter at {name} has shape {shape_of(p)}, and a matrix has two axes: give "
                f'vectors="diagonal" or "pass", or another transformation for such leaves, with route or on_matrices'
            )


def require_rule(vectors: str) -> None:
    """Raise ValueError unless `vectors` is one of `VECTORS`."""
    one_of(VECTORS, vectors=vectors)


def map_stacks(
    fn: Callable[..., tuple], shapes: Shapes, updates: Any, *fields: tuple[str, Any], shared: Sequence[Any] = ()
) -> tuple:
    """Apply `fn(places, shared, g, *kept)` once for all trained leaves of one shape and dtype.

    Args:
        fn: gets the numbers of the leaves; `shared`; the updates, (K, m, n) for K matrices; and what each field keeps
            of these (its axes in front are also one axis of length K), or None. It computes in float32, or in the
            widest dtype of these. It returns the new updates and what is kept.
        shapes: the shape of a leaf -> the shapes of its arrays in the fields.
        updates: the tree to transform. Leaves that are not trained, or have no entries, pass.
        *fields: names and trees with an array or None for each leaf.
        shared: arrays that `fn` needs besides.

    Returns: The new updates, and the new tree of each field, in the dtypes that it had.
    Raises: ValueError: the updates do not fit a field; the error names the leaf.
    """
    leaves, structure = flatten(updates)
    require_arrays("update", updates)
    columns = [flatten(beside(updates, structure, name, OwnShapes(tree)))[0] for name, tree in fields]
    _require_shapes(shapes, updates, [name for name, _ in fields], columns)
    done, stacks = [list(leaves), *map(list, columns)], {}
    for k, g in enumerate(leaves):
        if is_trained(g) and math.prod(shape_of(g)):
            row = [None if x is None else jnp.asarray(x) for x in (g, *(column[k] for column in columns))]
            types = tuple(None if x is None else x.dtype for x in row)
            stacks.setdefault((shape_of(g), types), []).append((k, row))
    for members in stacks.values():
        places, rows = zip(*members, strict=True)

        def together(shared: Any, rows: Any, places: Any = places) -> list[list]:
            return _stacked(lambda *xs: fn(places, shared, *xs), rows)

        def specs(rows: Any = rows) -> list[list]:
            return [[None if x is None else spec_of(x) for x in row] for row in rows]

        for k, row in zip(places, anywhere(together, specs, tuple(shared), list(rows)), strict=True):
            for column, x in zip(done, row, strict=True):
                column[k] = x
    return tuple(jax.tree.unflatten(structure, column) for column in done)


def _stacked(fn: Callable[..., tuple], rows: Sequence[list]) -> list[list]:
    """`fn` of the matrices in some rows, as one stack; each row is a leaf and what is kept of it."""
    batch, m, n = split_shape(rows[0][0].shape)
    count, width = len(rows) * math.prod(batch), float_dtype(rows)

    def gathered(k: int, like: jax.Array) -> jax.Array:
        inside = like.shape[len(batch) :] if k else (m, n)
        x = jnp.stack([row[k] for row in rows]).reshape(count, *inside)
        return x.astype(at_width(x.dtype, width)) if is_trained(x) else x

    def parted(k: int, x: jax.Array) -> list[jax.Array]:
        like = rows[0][k]
        return list(x.astype(like.dtype if k else x.dtype).reshape(len(rows), *like.shape))

    with jax.numpy_dtype_promotion("standard"):  # a float32 rate may meet a float64 leaf
        out = fn(*(None if x is None else gathered(k, x) for k, x in enumerate(rows[0])))
    columns = [[None] * len(rows) if x is None else parted(k, x) for k, x in enumerate(out)]
    return [list(row) for row in zip(*columns, strict=True)]


def _require_shapes(shapes: Shapes, updates: Any, names: list[str], columns: list[list]) -> None:
    for k, g in enumerate(flatten(updates)[0]):
        wanted = shapes(shape_of(g)) if is_trained(g) else (None,) * len(columns)
        for name, shape, column in zip(names, wanted, columns, strict=True):
            kept = None if column[k] is None else shape_of(column[k])
            if kept != shape:
                got = f"shape {shape_of(g)}" if is_trained(g) else "no trained entries"
                raise ValueError(
                    f"the update at {leaf_names(updates)[k]} has {got}, and {name} in the state is for a leaf of "
                    f"another shape: make the state with this transformation's own init"
                )
