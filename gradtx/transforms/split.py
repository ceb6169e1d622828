"""Reductions over devices: leaves are split over axes of a mesh, and some of them are whole on each device."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.trees import OwnShapes, beside, flatten, is_none, is_trained, leaf_names, path_name
from gradtx.errors import describe
from gradtx.values.arguments import frozen, show


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SplitOver:
    """See `split_over`."""

    names: tuple[str, ...]
    specs: Any

    @functools.cached_property
    def _key(self) -> tuple:
        return self.names, frozen(self.specs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SplitOver) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"split_over({show(self.names[0] if len(self.names) == 1 else self.names)}, {show(self.specs)})"

    def axes(self, tree: Any) -> list[tuple[str, ...] | None]:
        """For each leaf of a tree, None leaves too, those of the axes over which it is split.

        Raises: ValueError: the specs are not a prefix of the tree.
        """
        found: list[tuple[str, ...] | None] = []

        for spec in self.specs_of(tree):
            entries = () if spec is None else (x if isinstance(x, tuple) else (x,) for x in spec)
            own = {name for entry in entries for name in entry}
            found.append(tuple(n for n in self.names if n in own) or None)
        return found

    def specs_of(self, tree: Any) -> list[PartitionSpec | None]:
        """For each leaf of a tree, None leaves too, its spec.

        Raises: ValueError: the specs are not a prefix of the tree.
        """
        found: list[PartitionSpec | None] = []
        try:
            jax.tree.map(
                lambda spec, part: found.extend([spec] * len(flatten(part)[0])), self.specs, tree, is_leaf=_is_spec
            )
        except ValueError:
            raise ValueError(self._misfit(tree)) from None
        return found

    def _misfit(self, tree: Any) -> str:
        """Where the specs and the tree differ first."""
        entries = jax.tree_util.tree_flatten_with_path(self.specs, is_leaf=_is_spec)[0]
        places, names = [path_name(path) for path, _ in entries], leaf_names(tree)
        bare = [n for n in names if not any(n == p or n.startswith(f"{p}/") for p in places)]
        idle = [p for p in places if not any(n == p or n.startswith(f"{p}/") for n in names)]
        said = [f"there is no spec for the leaf {bare[0]}"] if bare else []
        said += [f"the spec at {idle[0]} belongs to no leaf"] if idle else []
        return f"split_over: {', and '.join(said) or 'the containers differ'}; the specs are {show(self.specs)}"

    def of_list(self, tree: Any) -> SplitOver:
        """The same for the list of the trained leaves of a tree."""
        rows = zip(self.axes(tree), flatten(tree)[0], strict=True)
        return SplitOver(self.names, [PartitionSpec(own) for own, x in rows if is_trained(x)])


AxisName = str | tuple[str, ...] | SplitOver | None
"""Names of mesh axes, or of those of `jax.vmap` and `jax.pmap`; with `split_over`, also which leaves they split."""


def split_over(axis_name: str | tuple[str, ...], specs: Any) -> SplitOver:
    """Axes over which only some leaves are split, for every argument `axis_name`: the others count once.

    Inside `shard_map` JAX knows which leaves are whole, and a name is enough. It does not know inside
    `shard_map(..., check_vma=False)`, `pmap` and `vmap`: there a leaf that is whole on each device would count once for
    each of them in every norm and inner product.

    Args:
        axis_name: the name of an axis, or a tuple of names.
        specs: a `PartitionSpec` for each leaf of the updates, as in the `in_specs` of `shard_map`, or for whole
            branches of the tree. A leaf is split over those of the axes that are in its spec; one without a spec
            (None) is whole.

    Raises: TypeError: `axis_name` is not a name; `specs` has something else. ValueError, at an update: `specs` is no
        prefix of the updates.

    Example:
        >>> import gradtx, jax
        >>> P = jax.sharding.PartitionSpec
        >>> specs = {"kernel": P("model"), "bias": P()}
        >>> gradtx.clip_by_global_norm(1.0, axis_name=gradtx.split_over("model", specs)).axis_name.names
        ('model',)
    """
    names = axis_name if isinstance(axis_name, tuple) else (axis_name,)
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"axis_name must be the name of an axis or a tuple of names; got {axis_name!r}")
    for spec in jax.tree.leaves(specs, is_leaf=_is_spec):
        if not _is_spec(spec):
            raise TypeError(f"specs must have a jax.sharding.PartitionSpec for each leaf; got {describe(spec)}")
    return SplitOver(names, specs)


def require_axis_name(axis_name: Any) -> None:
    """Raise TypeError unless this is None, the name of an axis, a tuple of names, or a `split_over`."""
    names = axis_name if isinstance(axis_name, tuple) else (axis_name,)
    if not (axis_name is None or isinstance(axis_name, SplitOver) or all(isinstance(name, str) for name in names)):
        raise TypeError(f"axis_name must be the name of an axis or a tuple of names; got {axis_name!r}")


def device_count(axis_name: AxisName) -> int:
    """The number of devices along these axes; NameError for an axis that is not mapped over here."""
    return 1 if axis_name is None else jax.lax.psum(1, names_of(axis_name))


def summed(x: Any, axis_name: AxisName) -> Any:
    """The sum over all devices of these axes, on each of them; x itself without axes."""
    if axis_name is None:
        return x
    device_count(axis_name)  # costs nothing, and its error names an axis that does not exist
    return jax.lax.psum(x, names_of(axis_name))


def on_all(condition: jax.Array, axis_name: AxisName) -> jax.Array:
    """Whether a condition holds on every device of these axes, so that all take the same branch."""
    return condition if axis_name is None else summed((~condition).astype(jnp.int32), axis_name) == 0


def own_axes(x: Any, axis_name: AxisName) -> AxisName:
    """Those of the axes over which an array may differ, as far as JAX knows; None if it is the same on all devices."""
    if axis_name is None:
        return None
    device_count(axis_name)
    names = names_of(axis_name)
    names = names if isinstance(names, tuple) else (names,)
    known = varying(x)
    kept = tuple(n for n in names if n in known or n not in varying(jax.lax.axis_index(n)))
    return (axis_name if len(kept) == len(names) else kept) or None


def leaf_axes(leaves: list, tree: Any, axis_name: AxisName) -> list[AxisName]:
    """For each of the arrays of the trained leaves of a tree, the axes over which it is split."""
    if isinstance(axis_name, SplitOver):
        rows = zip(axis_name.axes(tree), flatten(tree)[0], strict=True)
        return [own for own, x in rows if is_trained(x)]
    return [own_axes(x, axis_name) for x in leaves]


def listed(axis_name: AxisName, tree: Any) -> AxisName:
    """The axes for the list of the trained leaves of a tree."""
    return axis_name.of_list(tree) if isinstance(axis_name, SplitOver) else axis_name


def over_whole(xs: list, axis_name: AxisName) -> list:
    """Each of the arrays summed over the axes over which it is not split, if `split_over` says so."""
    if not isinstance(axis_name, SplitOver):
        return xs
    left = [tuple(n for n in axis_name.names if n not in (own or ())) or None for own in axis_name.axes(xs)]
    return [summed(x, own_axes(x, axes)) for x, axes in zip(xs, left, strict=True)]


def sum_of_terms(terms: Iterable[jax.Array], axes: Iterable[AxisName]) -> jax.Array:
    """The sum of these terms, each of them over the devices of its own axes."""
    groups: dict[AxisName, jax.Array] = {}
    for term, own in zip(terms, axes, strict=True):
        groups[own] = groups[own] + term if own in groups else term
    return functools.reduce(jax.lax.add, [summed(term, own) for own, term in groups.items()])


def map_split(fn: Callable[..., Any], axis_name: AxisName, updates: Any, *trees: Any) -> Any:
    """`map_leaves` with `fn(axes, g, *others)`: its first argument are the axes over which the leaf is split."""

    def bound(axes: AxisName) -> Callable[..., Any]:
        part: Any = functools.partial(fn, axes)
        part.__name__ = fn.__name__  # for errors
        return part

    if not isinstance(axis_name, SplitOver):
        return map_leaves(bound(axis_name), updates, *trees)
    (leaves, structure), axes = flatten(updates), axis_name.axes(updates)
    columns = [leaves, *(flatten(beside(updates, structure, "parameter", tree))[0] for tree in trees)]
    out: list = list(leaves)
    for kind in dict.fromkeys(axes):  # flat lists, so that a result of several trees is a tuple of lists
        places = [k for k, own in enumerate(axes) if own == kind]
        parts = [[column[k] for k in places] for column in columns]
        others = [OwnShapes(x) if isinstance(t, OwnShapes) else x for t, x in zip(trees, parts[1:], strict=True)]
        new = map_leaves(bound(kind), parts[0], *others)
        rows = list(zip(*new, strict=True)) if isinstance(new, tuple) else [(x,) for x in new]
        for k, row in zip(places, rows, strict=True):
            out[k] = row
    made = [jax.tree.unflatten(structure, list(column)) for column in zip(*out, strict=True)]
    return tuple(made) if len(made) > 1 else made[0]


def names_of(axis_name: Any) -> Any:
    """The names, without what `split_over` says about the leaves."""
    return axis_name.names if isinstance(axis_name, SplitOver) else axis_name


def _is_spec(x: Any) -> bool:
    return x is None or isinstance(x, PartitionSpec)


def varying(x: Any) -> frozenset:
    """The axes over which JAX knows that an array may differ; none where it does not keep account."""
    kind = jax.typeof(x)
    kind = getattr(kind, "manual_axis_type", kind)  # before JAX 0.10 it is `vma`
    return frozenset(getattr(kind, "varying", getattr(kind, "vma", ())))


def scalars(params: Any, value: float) -> Any:
    """A float scalar for each trained leaf, float32 or wider; None for the others."""

    def leaf(p: Any) -> Any:
        return jnp.full((), value, float_dtype(p)) if is_trained(p) else None

    return jax.tree.map(leaf, params, is_leaf=is_none)
