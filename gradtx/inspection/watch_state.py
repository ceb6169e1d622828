"""The state of a watch: its rings and their labels, the leaves that it watches, and the check that these fit."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.states import Exact
from gradtx.core.trees import flatten, leaf_names, shape_of
from gradtx.errors import require
from gradtx.inspection.sampling import kept
from gradtx.inspection.watch_row import SCALARS
from gradtx.wrappers.rules import first_rules, split_leaves


class WatchState(NamedTuple):
    """The state of `watch`: rings of readings, and the inner state."""

    count: jax.Array  # updates done, int32 scalar; 0 at init
    steps: jax.Array  # the numbers of the measured updates, the first is 0; (window,), int32; -1 at init
    values: Exact  # numbers of each leaf or group, (window, groups, numbers), float32 or wider; 0 at init
    rates: jax.Array  # counts of effective learning rates, (window, groups, bins), uint16 or int32; 0 at init
    previous: Exact  # a sample of the update before, one vector for all leaves; 0 at init; None without `previous`
    labels: jax.Array  # names, stages and bins as the bytes of a text, uint8
    inner: Any  # the inner transformation's state


class Labels(NamedTuple):
    """What the numbers in the rings are: names of leaves or groups, names of stages, and the bins of the histogram
    (exponents of ten of the outer edges, and how many bins there are)."""

    names: tuple[str, ...]
    stages: tuple[str, ...]
    bins: tuple[float, float, int]

    @classmethod
    def read(cls, text: Any) -> Labels:
        """The labels from the array of bytes in a state.

        Raises: ValueError: these bytes are no labels.
        """
        try:
            names, stages, (low, high, bins) = json.loads(bytes(np.asarray(text, np.uint8)))
        except (ValueError, TypeError):
            raise ValueError("the labels in this state are damaged: watch(...) did not write them so") from None
        return cls(tuple(names), tuple(stages), (float(low), float(high), int(bins)))

    def written(self) -> jax.Array:
        """The labels as an array of bytes: only arrays survive every format."""
        return jnp.asarray(np.frombuffer(as_bytes(self), np.uint8).copy())


@functools.lru_cache(maxsize=256)
def as_bytes(labels: Labels) -> bytes:
    """The labels as a text, the same for equal ones."""
    return json.dumps(labels).encode()


class Watched(NamedTuple):
    """The leaves that a watch looks at.

    places: of the trained leaves among all leaves. names: of the leaves or groups. group_of: the group of each leaf, as
    an index into the names. sampled: how many numbers a sample of all leaves has; a complex entry is two. counts: the
    dtype for counts of sampled entries.
    """

    places: tuple[int, ...]
    names: tuple[str, ...]
    group_of: tuple[int, ...]
    sampled: int
    counts: Any

    def pick(self, tree: Any) -> list:
        """The watched leaves of a tree."""
        leaves = flatten(tree)[0]
        return [leaves[k] for k in self.places]


def watched(params: Any, groups: Mapping[str, Any] | None, sample: int) -> Watched:
    """The trained leaves and their groups; remembered for each structure, so that an eager step does not pay for it.

    Raises: ValueError: a rule that fits no leaf.
    """
    rules = None if groups is None else tuple(groups.items())
    leaves, structure = flatten(params)
    kinds = tuple((shape_of(x), getattr(x, "dtype", type(x))) for x in leaves)
    try:
        hash(structure)
    except TypeError:  # nodes whose own data has no hash
        return _looked_up(params, rules, sample)
    if rules is not None and not all(_on_paths(rule) for _, rule in rules):
        return _looked_up(params, rules, sample)  # a function may look at the leaf itself
    return _remembered(structure, kinds, rules, sample)


def _on_paths(rule: Any) -> bool:
    """Whether a rule looks at nothing but the path of a leaf."""
    return all(map(_on_paths, rule)) if isinstance(rule, tuple) else isinstance(rule, str | re.Pattern)


@functools.lru_cache(maxsize=256)
def _remembered(structure: Any, kinds: tuple, rules: tuple | None, sample: int) -> Watched:
    return _looked_up(jax.tree.unflatten(structure, [_like(*kind) for kind in kinds]), rules, sample)


def _like(shape: tuple, kind: Any) -> Any:
    """A leaf of this shape and type without numbers; None in the place of one that is not trained."""
    dtype = jnp.result_type(kind) if kind is float or kind is complex else kind
    return jax.ShapeDtypeStruct(shape, dtype) if not isinstance(dtype, type) else None


def _looked_up(params: Any, rules: tuple | None, sample: int) -> Watched:
    leaves, others = split_leaves(None, params)
    names, group_of = tuple(leaf.path for leaf in leaves), tuple(range(len(leaves)))
    if rules is not None:
        taken = first_rules("watch", [rule for _, rule in rules], leaves, others)
        own = tuple(name for name, _ in rules)
        names = () if not leaves else (*own, "others") if len(taken) < len(leaves) else own
        group_of = tuple(taken.get(leaf.place, len(own)) for leaf in leaves)
    entries = [math.prod(kept(shape_of(leaf.parameter), sample)) for leaf in leaves]
    parts = [1 + jnp.iscomplexobj(leaf.parameter) for leaf in leaves]
    most = max(np.bincount(np.asarray(group_of, np.intp), entries), default=0)
    sampled = sum(n * k for n, k in zip(entries, parts, strict=True))
    counts = jnp.uint16 if most < 2**16 else jnp.int32
    return Watched(tuple(leaf.place for leaf in leaves), names, group_of, sampled, counts)


def require_own(state: WatchState, where: Watched, labels: Labels, previous: bool, params: Any) -> None:
    """Raise ValueError if the rings of this state were not made for the numbers that the watch writes into them.

    Under jit the labels cannot be read: then only numbers and shapes are compared, and labels by `debug_checks`.
    """

    def refuse(made_for: Any, here: Any) -> None:
        anew = "make it with this transformation's own init; new._replace(inner=old.inner) keeps the inner state"
        raise ValueError(f"watch: the state was made for {made_for}, and here are {here}: {anew}")

    wanted = as_bytes(labels)
    if not isinstance(state.labels, Tracer) and np.asarray(state.labels).tobytes() != wanted:
        held = Labels.read(state.labels)
        for what, had, here in (("leaves or groups", held[0], labels[0]), ("stages", held[1], labels[1])):
            if had != here:
                refuse(f"the {what} {_others(had, here)}", _others(here, had))
        refuse(f"the bins {held.bins}", labels.bins)
    values, rates, text = map(shape_of, (state.values, state.rates, state.labels))
    for what, had, here in (
        ("leaves or groups", values[-2:-1], (len(where.names),)),
        ("stages and other numbers", values[-1:], (len(SCALARS) + len(labels.stages),)),
        ("bins", rates[-1:], labels.bins[2:]),
        ("bytes of names", text, (len(wanted),)),
    ):
        if had != here:
            refuse(f"{(*had, 0)[0]} {what}", here[0])
    if (state.previous is not None) != previous:
        refuse(f"previous={not previous}", f"previous={previous}")
    if state.rates.dtype == jnp.uint16 and where.counts != jnp.uint16:
        refuse("counts below 65536, with a smaller `sample`", "groups with more sampled entries")
    if previous and shape_of(state.previous) != (where.sampled,):
        leaves = zip(leaf_names(params), flatten(params)[0], strict=True)
        shapes = [f"{name} {shape_of(x)}" for k, (name, x) in enumerate(leaves) if k in where.places]
        said = ", ".join(shapes[:16]) + (", ..." if len(shapes) > 16 else "")
        refuse(f"samples of {shape_of(state.previous)[0]} entries", f"{where.sampled}, of these leaves: {said}")
    if isinstance(state.labels, Tracer):
        require(jnp.array_equal(state.labels, np.frombuffer(wanted, np.uint8)), "watch: the state has other labels")


def _others(names: tuple[str, ...], known: tuple[str, ...]) -> str:
    """The names that are not known, for an error; all, where only their order differs."""
    new = [repr(name) for name in names if name not in known] or list(map(repr, names))
    return ", ".join(new[:4]) + (f" and {len(new) - 4} more" if len(new) > 4 else "")
