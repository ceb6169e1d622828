"""The measuring engine of `watch` and `explain`: numbers of many leaves, in one pass over their entries."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import at_width
from gradtx.core.numerics import abs_sq
from gradtx.core.trees import is_trained, shape_of
from gradtx.inspection.sampling import sample, whole
from gradtx.placement import split_spec
from gradtx.sparse.rows import RowSparse, distinct

SMALL = 2**14
"""Leaves of up to this many entries are stacked with others of about their size. Larger ones keep their shape: one that
is split over devices is measured where it lies."""

SAMPLE = 2**14
"""A median is taken of at most this many entries of a leaf, and so is the scale of a large one."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Numbers:
    """Numbers of some leaves.

    places: the places of these leaves in the tree. names: of the numbers. values: (leaves, names).
    """

    places: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    values: Any

    def __getitem__(self, name: str) -> Any:
        """One number of each leaf, in the order of their places."""
        if not self.places:
            return self.values.reshape(-1)
        return self.values[np.argsort(self.places), self.names.index(name)]

    def at(self, place: int) -> dict[str, float]:
        """The numbers of the leaf at this place; none where it was not measured."""
        if place not in self.places:
            return {}
        return dict(zip(self.names, map(float, self.values[self.places.index(place)]), strict=True))


class Stacks:
    """Leaves in stacks, those of about one size together: so a wide tree compiles nearly as fast as a narrow one.

    Leaves are cast to a real dtype, complex ones to the complex dtype of its width. To be used under one trace.

    Args:
        dtype: of the arithmetic.
        copies: whether large leaves of one shape are stacked too, which copies them, and a RowSparse is made dense.
            Else a large leaf is measured alone, where it lies, and of a RowSparse only the rows that it has.
    """

    def __init__(self, dtype: Any, copies: bool):
        self.dtype, self.copies = dtype, copies
        self._made: dict[tuple, tuple] = {}

    def each(self, fn: Callable[..., Mapping[str, jax.Array]], *columns: Sequence[Any]) -> Numbers:
        """Call a function on the leaves of several columns, at all places where the first column has a trained leaf.

        Args:
            fn: `(*stacks, valid=mask) -> name -> numbers, (k,)`. A stack holds k leaves, (k, ...); it is None where its
                column has no trained leaf. The mask tells which entries belong to a leaf, all where it is None; the
                others are 0.
            columns: lists of leaves, all of one length.
        """
        kinds: dict[tuple, list[int]] = {}
        for k, row in enumerate(zip(*columns, strict=True)):
            if is_trained(row[0]):
                kinds.setdefault(self._kind(k, row), []).append(k)
        names, values, order = (), [], []
        for kind, places in kinds.items():
            stacks = [self._stack(kind, [column[k] for k in places]) for column in columns]
            found = fn(*(x for x, _ in stacks), valid=stacks[0][1])
            names = tuple(found)
            values.append(jnp.stack([x.astype(self.dtype) for x in found.values()], 1))
            order += places
        return Numbers(tuple(order), names, jnp.concatenate(values) if values else jnp.zeros((0, 0), self.dtype))

    def _kind(self, k: int, row: Sequence[Any]) -> tuple:
        """Leaves of one kind share a stack: small ones padded to the same power of four, large ones of one shape."""
        types = tuple(jnp.iscomplexobj(x) if is_trained(x) else None for x in row)
        size = math.prod(shape_of(row[0]))
        if size <= SMALL and (self.copies or not any(isinstance(x, RowSparse) for x in row)):
            return "small", 2 ** math.ceil(math.log(max(size, 16), 4) - 1e-9), types
        return "large", shape_of(row[0]) if self.copies and not any(map(split_spec, row)) else k, types

    def _stack(self, kind: tuple, leaves: list[Any]) -> tuple[jax.Array | None, jax.Array | None]:
        if not is_trained(leaves[0]):
            return None, None
        key = (kind[:2], *map(id, leaves))
        if key not in self._made:
            arrays = [self._array(x) for x in leaves]
            stack = _padded(arrays, kind[1]) if kind[0] == "small" else (jnp.stack(arrays), None)
            self._made[key] = (*stack, leaves)  # with the leaves, so that no id is used twice
        return self._made[key][:2]

    def _array(self, x: Any) -> jax.Array:
        if isinstance(x, RowSparse):
            x = x.dense() if self.copies else distinct(x).values
        x = jnp.asarray(x)
        return x.astype(at_width(x.dtype, self.dtype))


def _padded(arrays: list[jax.Array], side: int) -> tuple[jax.Array, jax.Array | None]:
    """Small arrays as a stack of squares, and the mask of their own entries."""
    shape, length, sizes = (len(arrays), side, side), side * side, np.asarray([x.size for x in arrays])
    flat = [whole(x).ravel() for x in arrays]
    if (sizes == length).all():
        return jnp.stack(flat).reshape(shape), None
    # One array with every leaf as a slice: a pad for each leaf would be one loop for each to compile. The barrier keeps
    # XLA from evaluating the concatenation, a chain of conditions for each entry, again in every sum.
    joined = jnp.concatenate([*flat, jnp.zeros((length,), flat[0].dtype)])
    joined = jax.lax.stop_gradient(jax.lax.optimization_barrier(joined))  # the barrier has no right derivative
    cut = jax.vmap(lambda start: jax.lax.dynamic_slice(joined, (start,), (length,)))(np.cumsum(sizes) - sizes)
    valid = jnp.asarray(np.arange(length) < sizes[:, None]).reshape(shape)
    return jnp.where(valid, cut.reshape(shape), jnp.zeros((), cut.dtype)), valid


def numbers(
    xs: Mapping[str, jax.Array],
    *,
    pair: tuple[str, str] | None = None,
    counted: Collection[str] = (),
    counts: Mapping[str, jax.Array] | None = None,
    ranged: Sequence[jax.Array] = (),
    among: jax.Array | None = None,
    quick: bool = False,
) -> dict[str, jax.Array]:
    """Numbers of k leaves from stacks (k, ...), in one pass for each shape among the stacks.

    Args:
        xs: stacks by name.
        pair: the names of two of them, x and y.
        counted: the names of those whose entries are counted.
        counts: stacks of bools by name.
        ranged: real stacks, all with one range.
        among: which entries of `ranged` count; None: all.
        quick: whether the scale of a large leaf may come from a sample of it, which saves a pass.

    Returns: by name, each (k,): norm_NAME, the Euclidean norm of each stack; cosine of the pair, NaN where one is zero,
        and factor, <x, y>/|x|²; nonzero_NAME, nonfinite_NAME, how many entries of `counted` are; for each of `counts`
        how many are True; least and largest entry of `ranged`, infinity and minus infinity where there is none.
    """
    units = {name: unit(_largest(some_of(x) if quick else x)) for name, x in xs.items()}
    scaled = {name: x * units[name].reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype) for name, x in xs.items()}
    marks = {f"nonzero_{name}": xs[name] != 0 for name in counted}
    marks |= {f"nonfinite_{name}": ~jnp.isfinite(xs[name]) for name in counted} | dict(counts or {})
    tasks = [(name, abs_sq(x), jax.lax.add, 0) for name, x in scaled.items()]
    if pair:
        x, y = of_one_kind(scaled[pair[0]], scaled[pair[1]])
        tasks.append(("dot", (x.conj() * y).real, jax.lax.add, 0))
    tasks += [(name, mark.astype(jnp.int32), jax.lax.add, 0) for name, mark in marks.items()]
    for name, combine, end in (("least", jax.lax.min, np.inf), ("largest", jax.lax.max, -np.inf)):
        kept = ranged if among is None else [jnp.where(among, x, jnp.asarray(end, x.dtype)) for x in ranged]
        tasks += [(f"{name} {k}", x, combine, end) for k, x in enumerate(kept)]
    found = _reduced(tasks)
    out = {f"norm_{name}": jnp.sqrt(found[name]) / units[name] for name in xs}
    if pair:
        x, y = pair
        out["cosine"] = cosine(found["dot"], found[x], found[y], jnp.nan)
        both = (found[x] > 0) & (found[y] > 0)
        factor = found["dot"] / jnp.where(both, found[x], 1) * (units[x] / units[y])
        out["factor"] = jnp.where(both, factor, jnp.nan)
    out |= {name: found[name] for name in marks}
    for name, combine in (("least", jnp.minimum), ("largest", jnp.maximum)):
        if ranged:
            out[name] = functools.reduce(combine, [found[f"{name} {k}"] for k in range(len(ranged))])
    return out


def of_one_kind(*xs: jax.Array) -> list[jax.Array]:
    """The arrays as they are; all complex, where one is."""
    kind = next((x.dtype for x in xs if jnp.iscomplexobj(x)), None)
    return [x if kind is None else x.astype(kind) for x in xs]


def _reduced(tasks: Sequence[tuple[str, jax.Array, Callable, float]]) -> dict[str, jax.Array]:
    """Each stack reduced to a number for each leaf: by name, stack, operation and start.

    Row by row, then over the rows: so float32 sums are right to some 1e-5 for a million entries, and several cores have
    work.
    """
    out: dict[str, jax.Array] = {}
    for shape in dict.fromkeys(x.shape for _, x, _, _ in tasks):
        alike = [task for task in tasks if task[1].shape == shape]
        starts = tuple(jnp.asarray(start, x.dtype) for _, x, _, start in alike)
        together = _all_of(tuple(operation for _, _, operation, _ in alike))
        found = tuple(_in_rows(x) for _, x, _, _ in alike)
        for axes in (range(2, found[0].ndim), (1,)):
            found = tuple(jax.lax.reduce(found, starts, together, tuple(axes)))
        out.update(zip((name for name, *_ in alike), found, strict=True))
    return out


@functools.cache
def _all_of(operations: tuple[Callable, ...]) -> Callable[[Any, Any], tuple]:
    """A function of tuples that does each operation; it closes over no stack, since JAX keeps it with the program."""
    return lambda a, b: tuple(do(x, y) for do, x, y in zip(operations, a, b, strict=True))


def _in_rows(x: jax.Array) -> jax.Array:
    """A stack with at least two axes; long vectors as rows, where they come out even."""
    if x.ndim != 2:
        return x if x.ndim > 1 else x.reshape(-1, 1)
    row = math.gcd(x.shape[1], 1024)
    return x.reshape(x.shape[0], -1, row) if row >= 64 else x


def _largest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(x), tuple(range(1, x.ndim)), initial=0)


def some_of(x: jax.Array) -> jax.Array:
    """The entries of small leaves, a sample of large ones."""
    return jax.vmap(lambda one: sample(one, SAMPLE))(x) if x.size > SMALL * x.shape[0] else x


def unit(largest: jax.Array) -> jax.Array:
    """A power of two near 1/largest; 1 where that is 0 or not finite. Entries times it have squares that can be summed
    without overflow or underflow."""
    known = (largest > 0) & jnp.isfinite(largest)
    most = jnp.finfo(largest.dtype).maxexp - 28
    power = jnp.clip(jnp.round(jnp.log2(jnp.where(known, largest, 1))), -most, most)
    return jnp.ldexp(jnp.ones_like(largest), -power.astype(jnp.int32))  # exp2 is not exact


def cosine(dot: Any, a: Any, b: Any, otherwise: float) -> jax.Array:
    """<x, y>/(|x||y|) from the product and the squares |x|², |y|², in [-1, 1]; `otherwise` where one is not above 0."""
    both = (a > 0) & (b > 0)
    product = jnp.where(both, jnp.sqrt(a) * jnp.sqrt(b), 1)
    return jnp.where(both, jnp.clip(dot / product, -1, 1), otherwise)
