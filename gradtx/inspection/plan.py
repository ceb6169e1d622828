"""Which rule an optimizer has for each parameter, and the bytes of its state, before training begins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, Sharding

from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, path_name, shape_of
from gradtx.errors import describe
from gradtx.inspection.folding import folded
from gradtx.inspection.on_mesh import OnDevice, on_device, on_this_mesh
from gradtx.placement import abstract, holder_index, mirrors
from gradtx.sharding import like_parameters
from gradtx.storage.fields import Stored, StoreState
from gradtx.text_table import aligned, byte_count
from gradtx.wrappers.subtree import part

NOTHING = (0, 0, 0)
MESHES = (Mesh, AbstractMesh)


@dataclasses.dataclass(frozen=True)
class LeafPlan:
    """A row of a plan.

    leaf: its path. shape, dtype: of the parameter; dtype is "None" where there is none. rule: the rules and labels that
    choose its transformation, outermost first; "frozen", "not trained", or "" where all leaves are treated alike.
    state_bytes: bytes of the arrays in the state that mirror this leaf. device_bytes: how many of them are on each
    device; without shardings all. whole_bytes: how many of them every device holds whole, where the shardings split
    others; else 0.
    """

    leaf: str
    shape: tuple[int, ...]
    dtype: str
    rule: str
    state_bytes: int
    device_bytes: int
    whole_bytes: int

    @property
    def size(self) -> int:
        """The number of entries of the parameter."""
        return math.prod(self.shape) if self.dtype != "None" else 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan, as data; it prints as a table, in which four or more equal leaves of numbered layers are one row.

    rows: one for each leaf. other_state_bytes, other_device_bytes, other_whole_bytes: as in a `LeafPlan`, for arrays of
    the state that mirror no leaf, counts for example. sharded: whether shardings were given. notes: sentences about
    what has no effect, such as a `store` that encodes no leaf. device: what one device of the mesh holds and does, an
    `OnDevice`; None if no mesh was given.
    """

    rows: tuple[LeafPlan, ...]
    other_state_bytes: int
    other_device_bytes: int
    other_whole_bytes: int
    sharded: bool
    notes: tuple[str, ...] = ()
    device: OnDevice | None = None

    @property
    def size(self) -> int:
        """The number of entries of all parameters."""
        return sum(row.size for row in self.rows)

    @property
    def state_bytes(self) -> int:
        """Bytes of the whole state."""
        return sum(row.state_bytes for row in self.rows) + self.other_state_bytes

    @property
    def device_bytes(self) -> int:
        """Bytes of the state on each device."""
        return sum(row.device_bytes for row in self.rows) + self.other_device_bytes

    @property
    def whole_bytes(self) -> int:
        """Bytes of the state that every device holds whole, though others are split."""
        return sum(row.whole_bytes for row in self.rows) + self.other_whole_bytes

    def __str__(self) -> str:
        head = ("leaf", "shape", "dtype", "rule", "state", "per device", "")
        kinds = [(r.shape, r.dtype, r.rule, r.state_bytes, r.device_bytes, r.whole_bytes) for r in self.rows]
        body = []
        for name, places in folded([r.leaf for r in self.rows], kinds):
            r, n = self.rows[places[0]], len(places)
            costs = _costs(n * r.state_bytes, n * r.device_bytes, n * r.whole_bytes)
            body.append((name, f"{n} of " * (n > 1) + _shape(r), r.dtype, r.rule or "-", *costs))
        other = _costs(self.other_state_bytes, self.other_device_bytes, self.other_whole_bytes)
        total = _costs(self.state_bytes, self.device_bytes, self.whole_bytes)
        table = [head, *body, ("other", "", "", "", *other), ("total", f"{self.size:,} numbers", "", "", *total)]
        table = table if self.sharded else [row[:5] for row in table]
        lines = aligned(table, left={0, 1, 2, 3, 6})
        rule = "-" * max(map(len, lines))
        device = () if self.device is None else (str(self.device),)
        return "\n".join([lines[0], rule, *lines[1 : len(body) + 1], rule, *lines[-2:], *self.notes, *device])

    __repr__ = __str__


def plan(tx: Any, params: Any, shardings: Any = None, *, mesh: Any = None) -> Plan:
    """Say, before training, which rule each parameter has, and how many bytes its state takes.

    No step is run: the parameters may be `jax.ShapeDtypeStruct`s. What a wrapper of another library does to a leaf
    is not known here; its state is counted.

    Args:
        tx: a transformation.
        params: the parameters.
        shardings: those of the state, from `state_shardings` or `zero_shardings`, also on abstract meshes. Then the
            plan has the bytes on each device, and those that every device holds whole though others are split.
        mesh: a `jax.sharding.Mesh` or an `AbstractMesh`, on which the parameters are, or will be whole. Then the plan
            also has what one device holds, parameters, gradients, state and temporaries, and the collectives of a step,
            as `device`, an `OnDevice`. Without `shardings`, the state lies like the parameters. A step of a few leaves
            is compiled for the temporaries, which takes seconds.

    In the table, "-" is a leaf that no rule is about, "other" what belongs to no leaf, such as counts. A row
    `layers/0..79/w` is 80 leaves that are treated alike, and has the bytes of all of them.

    Returns: a `Plan`, which prints as a table, and has `rows`, `size`, `state_bytes`, `device_bytes`, `whole_bytes`,
        `device`.
    Raises: whatever `tx.init(params)` raises, for a rule that fits no leaf for example. ValueError: `shardings` does
        not have the structure of the state; a parameter is not on the mesh. TypeError: `mesh` is not a mesh, or
        `shardings` is one.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> params = {"body": {"w": jnp.ones((64, 8))}, "head": jnp.ones(8)}
        >>> print(gradtx.plan(gradtx.freeze(gradtx.adam(1e-3), "body"), params))
        leaf    shape        dtype    rule    state
        -------------------------------------------
        body/w  64 x 8       float32  frozen    0 B
        head    8            float32  -        64 B
        -------------------------------------------
        other                                   4 B
        total   520 numbers                    68 B
    """
    if isinstance(shardings, MESHES) or not (mesh is None or isinstance(mesh, MESHES)):
        wrong = shardings if isinstance(shardings, MESHES) else mesh
        raise TypeError(f"plan: give a jax.sharding.Mesh or AbstractMesh by name, mesh=...; got {describe(wrong)}")
    tx = as_transformation("tx", tx)
    params = jax.tree.map(lambda x: jnp.asarray(x) if is_trained(x) and not hasattr(x, "dtype") else x, params)
    state = jax.eval_shape(tx.init, abstract(params))
    if mesh is not None and shardings is None:
        shardings = like_parameters(on_this_mesh(params, mesh), lambda: state)
    given = jax.tree.leaves(shardings)
    like_state = jax.tree.structure(shardings) == jax.tree.structure(state)
    if shardings is not None and not (like_state and all(isinstance(s, Sharding) for s in given)):
        raise ValueError("shardings must be a tree like the state, as state_shardings and zero_shardings give it")
    words, names, leaves = _rules(tx, params), leaf_names(params), flatten(params)[0]
    costs = _state_bytes(params, state, given)
    rows = (_row(*row, *costs.get(k, NOTHING)) for k, row in enumerate(zip(names, leaves, words, strict=True)))
    device = None if mesh is None else on_device(tx, params, words, state, given, mesh)
    return Plan(tuple(rows), *costs.get(None, NOTHING), shardings is not None, _notes(state), device)


def _notes(state: Any) -> tuple[str, ...]:
    """A sentence for each `store` that encodes no leaf, though it could encode larger ones."""
    entries = jax.tree_util.tree_flatten_with_path(state, is_leaf=lambda x: isinstance(x, StoreState))[0]
    notes: list[str] = []
    for path, held in entries:
        if isinstance(held, StoreState):
            fields = jax.tree.leaves(held.inner, is_leaf=lambda x: isinstance(x, Stored))
            fields = [x for x in fields if isinstance(x, Stored)]
            if jax.tree.leaves([x.exact for x in fields]) and not jax.tree.leaves([x.codes for x in fields]):
                place = path_name(path) if path else "the state"
                notes.append(f"{place}: store encodes no leaf: its codec takes none, or all have fewer than min_size")
            notes += _notes(held.inner)
    return tuple(notes)


def _row(name: str, leaf: Any, rule: str, *costs: int) -> LeafPlan:
    dtype = "None" if leaf is None else str(getattr(leaf, "dtype", type(leaf).__name__))
    return LeafPlan(name, shape_of(leaf), dtype, rule if is_trained(leaf) else "not trained", *costs)


def _rules(tx: GradientTransformation, params: Any) -> list[str]:
    """The rules for each leaf, from the outside in; leaves that are None belong to another transformation."""
    piece, count = tx.piece, len(flatten(params)[0])
    groups = piece.leaf_groups(params)
    if groups is not None:
        texts = [groups[k].label if k in groups else "" for k in range(count)]
        for inner in {id(group.inner): group.inner for group in groups.values() if group.inner is not None}.values():
            own = [k in groups and groups[k].inner is inner for k in range(count)]
            inside = _rules(inner, part(params, own)) or [""] * count
            texts = [_joined(" > ", *both) for both in zip(texts, inside, strict=True)]
        return texts
    members = [x for x in piece.children.values() if is_transformation(x)]
    texts = [_rules(inner, params) for inner in members]
    if len(members) > 1:  # a leaf that one member freezes may be moved by another: say which one does
        texts = [[_said(inner, text) for text in column] for inner, column in zip(members, texts, strict=True)]
    return [_joined(", ", *(column[p] for column in texts)) for p in range(count)]


def _said(member: GradientTransformation, text: str) -> str:
    return f"frozen in {member.name}" if text == "frozen" else text


def _joined(by: str, *texts: str) -> str:
    return by.join(text for text in texts if text)


def _state_bytes(params: Any, state: Any, shardings: list) -> dict[int | None, tuple[int, int, int]]:
    """By the place of the parameter, None where there is none: bytes of the state, on each device, held whole."""
    rows = mirrors(params, state)
    here = [_nbytes(row.leaf, sharding.shard_shape) for row, sharding in zip(rows, shardings, strict=False)]
    total = [_nbytes(row.leaf, tuple) for row in rows]
    here = here or total
    split = here != total
    out: dict[int | None, tuple[int, int, int]] = {}
    holder, several = holder_index(params), len(jax.tree.leaves(params)) > 1
    for row, n, lies in zip(rows, total, here, strict=True):
        k = holder(row) if several else row.parameter
        a, b, c = out.get(k, NOTHING)
        out[k] = (a + n, b + lies, c + (n if split and n == lies else 0))
    return out


def _nbytes(leaf: Any, part: Callable[[tuple], tuple]) -> int:
    return math.prod(part(leaf.shape)) * leaf.dtype.itemsize


def _costs(state: int, device: int, whole: int) -> tuple[str, str, str]:
    return (
        byte_count(state),
        byte_count(device),
        "" if not whole else "whole" if whole == state else f"{byte_count(whole)} whole",
    )


def _shape(row: LeafPlan) -> str:
    return " x ".join(map(str, row.shape)) if row.shape else ("-" if row.dtype == "None" else "scalar")
