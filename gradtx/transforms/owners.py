"""Matrices on many devices: each is brought whole to one device, its owner, and what came of it goes back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gradtx.core.deferred import is_staged
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import describe, whole
from gradtx.meshes import anywhere, spec_of
from gradtx.transforms.exchange import are_mapped, count_of, gathered, joined, on_parts, own_part, padded, turned
from gradtx.transforms.split import SplitOver

_ANY = PartitionSpec.UNCONSTRAINED
_OF_STACK = Callable[[jax.Array, tuple[str, ...]], jax.Array]


@dataclasses.dataclass(frozen=True, repr=False)
class Owners:
    """See `owners`."""

    split: SplitOver | None
    pad: bool
    gather_up_to: int

    def __repr__(self) -> str:
        return f"owners({self.split!r}, pad={self.pad}, gather_up_to={self.gather_up_to})"


def owners(split: SplitOver | None = None, *, pad: bool = True, gather_up_to: int = 2**24) -> Owners:
    """How the matrices of a tree are shared out among the devices of a mesh, for what needs each of them whole.

    * Matrices of one shape that are split in the same way become a stack. Each device gets an equal number of whole
      ones by an all-to-all, works on these alone, and a second all-to-all takes the results back. If they are whole on
      every device, each takes its share, and the results are gathered.
    * A matrix that is the only one of its shape is gathered once, and every device works on it.
    * If that one is larger than `gather_up_to`, its long side stays, or is, split, and the devices add up products of
      the short side: a sum of m × m numbers in place of the m × n.

    This happens by itself under `jit` on a mesh. The types of arrays on an Explicit mesh say how they are split. On an
    Auto mesh they do not: there XLA finds these exchanges for leaves split along one of their axes, and gathers those
    split along both, unless `split` tells. Inside `shard_map`, nothing is exchanged without `split`.

    Args:
        split: `split_over(names of axes, specs)`, how each leaf is split; needed inside `shard_map`.
        pad: add zero matrices to a stack whose length does not divide by the number of devices; if False, that is an
            error.
        gather_up_to: the number of entries up to which a single matrix is gathered; at least 0.

    Raises: TypeError: an argument is something else. ValueError, at an update: with `pad=False`, a stack does not
        divide.

    Example:
        >>> import gradtx, jax
        >>> specs = {"kernel": jax.sharding.PartitionSpec("model")}
        >>> tx = gradtx.orthogonalize(devices=gradtx.owners(gradtx.split_over("model", specs)))
        >>> tx.devices.pad
        True
    """
    if not (split is None or isinstance(split, SplitOver)):
        raise TypeError(f"owners: split must be split_over(axis_name, specs) or None; got {describe(split)}")
    if not isinstance(pad, bool):
        raise TypeError(f"owners: pad must be True or False; got {describe(pad)}")
    whole(0, **{"owners: gather_up_to": gather_up_to})
    return Owners(split, pad, gather_up_to)


def require_owners(devices: Any) -> Owners:
    """`devices`, or the usual owners for None."""
    if not (devices is None or isinstance(devices, Owners)):
        raise TypeError(f"devices must be gradtx.owners(...) or None; got {describe(devices)}")
    return owners() if devices is None else devices


def sides_of(tree: Any, devices: Owners) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """For each leaf, None too, the axes that split its rows and those that split its columns, inside `shard_map`."""
    leaves, split = flatten(tree)[0], devices.split
    if split is None or not are_mapped(split.names):
        return [((), ())] * len(leaves)
    found = []
    for x, spec in zip(leaves, split.specs_of(tree), strict=True):
        rank = len(shape_of(x)) if is_trained(x) else 0
        rows, columns = ((), (), *(spec or ()), *[None] * rank)[rank : rank + 2] if rank >= 2 else ((), ())
        found.append((_names(rows, split.names), _names(columns, split.names)))
    return found


class _Layout(NamedTuple):
    """How matrices of one shape lie, which have at least as many columns as rows, and which mesh axes split them.

    mesh: None inside `shard_map`, and on one device. known: whether JAX or the user says which axes these are; the axes
    in front, which count matrices; those of rows, columns, and those on which all devices have the same.
    """

    shape: tuple[int, int]
    dtype: Any
    mesh: Any = None
    known: bool = True
    front: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


class _Member(NamedTuple):
    """A leaf: its place, its array, how it is split, and whether it has more rows than columns."""

    place: int
    x: jax.Array
    spec: PartitionSpec
    tall: bool


def of_matrices(who: str, of_stack: _OF_STACK, updates: Any, devices: Owners, *, sums: bool) -> Any:
    """A function of each matrix of a tree; matrices of one shape are one stack.

    Args:
        who: for errors.
        of_stack: a function `(stack, over)` of wide matrices, each by itself, that gives a stack of this shape; `over`
            names the mesh axes over which their columns are split, () if they are whole.
        updates: the tree.
        devices: how the matrices are shared out.
        sums: whether `of_stack` can take split columns.
    """
    leaves, structure = flatten(updates)
    told = [None] * len(leaves) if devices.split is None else devices.split.specs_of(updates)
    stacks: dict[_Layout, list[_Member]] = {}
    for k, x in enumerate(leaves):
        if is_trained(x) and math.prod(shape_of(x)):
            x = jnp.asarray(x)
            layout, member = _placed(k, x.astype(at_width(x.dtype, float_dtype(x))), told[k], devices.split)
            stacks.setdefault(layout, []).append(member)
    done = list(leaves)
    for layout, members in stacks.items():

        def refuse(count: int, places: int, members: list[_Member] = members, layout: _Layout = layout) -> None:
            if count % places and not devices.pad:
                raise ValueError(
                    f"{who}: the {count} matrices of shape {layout.shape}, as at "
                    f"{leaf_names(updates)[members[0].place]}, do not divide over {places} devices; allow zero "
                    f"matrices for the others with owners(pad=True)"
                )

        results = _of_group(of_stack, layout, members, devices, sums, refuse)
        for member, u in zip(members, results, strict=True):
            done[member.place] = u
    return jax.tree.unflatten(structure, done)


def _placed(k: int, x: jax.Array, told: Any, split: SplitOver | None) -> tuple[_Layout, _Member]:
    """Where the matrices of a leaf lie, by its type or by what was told."""
    mesh = getattr(getattr(jax.typeof(x), "sharding", None), "mesh", None)
    kinds = set(getattr(mesh, "axis_types", None) or ())
    here = mesh is not None and mesh.size > 1 and is_staged(x) and hasattr(jax, "shard_map")
    explicit, auto = here and kinds == {AxisType.Explicit}, here and kinds == {AxisType.Auto}
    inside = split is not None and not explicit and are_mapped(split.names)
    names, entries = (), ()
    if explicit and mesh is not None:
        names, entries = mesh.axis_names, spec_of(x)
    elif split is not None and (inside or auto):
        names, entries = split.names, told or ()
    axes = [_names(entry, names) for entry in (*entries, *[None] * (x.ndim - len(entries)))]
    front, rows, columns = tuple(name for entry in axes[:-2] for name in entry), axes[-2], axes[-1]
    copies = tuple(name for name in names if name not in (*front, *rows, *columns))
    m, n = x.shape[-2:]
    if inside:  # x is a part
        m, n = m * count_of(rows), n * count_of(columns)
    member = _Member(k, x, PartitionSpec(*(axis or None for axis in axes)), m > n)
    if m > n:
        m, n, rows, columns = n, m, columns, rows
    on = mesh if explicit or (auto and not inside) else None
    return _Layout((m, n), x.dtype, on, bool(names) or on is None, front, rows, columns, copies), member


def _of_group(of_stack: _OF_STACK, layout: _Layout, members: list[_Member], devices: Owners, sums: bool, refuse: Any):
    """The results for leaves whose matrices are one stack."""
    xs, tall = [member.x for member in members], [member.tall for member in members]

    def exchanged(*xs: jax.Array) -> list[jax.Array]:
        return _stacked(lambda stack: _exchanged(of_stack, layout, stack, devices, sums, refuse), xs, tall)

    if layout.mesh is None:
        alone = not (layout.front or layout.rows or layout.columns or layout.copies)
        return anywhere(exchanged, lambda: [*map(spec_of, xs)], *xs) if alone else exchanged(*xs)
    if not layout.known:
        return _stacked(lambda stack: _constrained(of_stack, layout, stack, len(xs), devices, sums, refuse), xs, tall)
    specs = tuple(member.spec for member in members)
    return on_parts(lambda *xs: tuple(exchanged(*xs)), layout.mesh, specs, specs)(*xs)


def _exchanged(of_stack: _OF_STACK, layout: _Layout, x: jax.Array, devices: Owners, sums: bool, refuse: Any):
    """The part of a result that belongs to a part of a stack, where devices can talk to each other."""
    rows, columns, copies = layout.rows, layout.columns, layout.copies
    if len(x) == 1:
        large = (rows or columns) and math.prod(layout.shape) > devices.gather_up_to
        if large and sums and x.shape[-1] % count_of(rows) == 0:
            return turned(of_stack(turned(x, rows, 2, 1), (*columns, *rows)), rows, 1, 2)
        u = of_stack(gathered(gathered(x, columns, 2), rows, 1), ())
        return own_part(own_part(u, rows, 1), columns, 2)
    count, places = len(x), count_of((*rows, *columns, *copies))
    refuse(count, places)
    missing = -count % places
    x = own_part(padded(x, missing), copies, 0)
    u = of_stack(turned(turned(x, rows, 0, 1), columns, 0, 2), ())
    return joined(turned(turned(u, columns, 2, 0), rows, 1, 0), copies)[:count]


def _constrained(of_stack: _OF_STACK, layout: _Layout, x: jax.Array, leaves: int, devices: Owners, sums: bool, refuse):
    """The result for a stack when JAX does not say how it is split: XLA finds the exchanges."""
    mesh, axes, count = layout.mesh, layout.mesh.axis_names, len(x)

    def on(x: jax.Array, *spec: Any) -> jax.Array:
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*spec)))

    if count == 1:
        summed = sums and math.prod(layout.shape) > devices.gather_up_to and layout.shape[1] % mesh.size == 0
        spec = PartitionSpec(None, None, axes) if summed else PartitionSpec()
        return on_parts(lambda x: of_stack(x, axes if summed else ()), mesh, (spec,), spec)(x)
    refuse(count, mesh.size)
    missing = -count % mesh.size
    # Without these constraints XLA takes the matrices of a stack apart before it brings them to where they belong.
    several = leaves > 1 or missing > 0
    x = padded(on(x, None, _ANY, _ANY) if several else x, missing)
    u = on_parts(lambda x: of_stack(x, ()), mesh, (PartitionSpec(axes),), PartitionSpec(axes))(x)[:count]
    return on(u, None, _ANY, _ANY) if several else u


def _stacked(of_stack: Callable, xs: Any, tall: list[bool]) -> list[jax.Array]:
    """A function of the matrices of some arrays, as one stack of wide ones."""
    wide = [x.mT if turn else x for x, turn in zip(xs, tall, strict=True)]
    stacks = [x.reshape(-1, *x.shape[-2:]) for x in wide]
    stack = stacks[0] if len(stacks) == 1 else jnp.concatenate(stacks)
    parts = jnp.split(of_stack(stack), np.cumsum([len(x) for x in stacks])[:-1])
    parts = [u.reshape(x.shape) for u, x in zip(parts, wide, strict=True)]
    return [u.mT if turn else u for u, turn in zip(parts, tall, strict=True)]


def _names(entry: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(n for n in (entry if isinstance(entry, tuple) else (entry,)) if n in names)
