"""One update seen from inside: what goes into each member of a transformation, in wrappers too, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax import core as jax_core

from gradtx.core.chain import chain
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import HyperparametersState
from gradtx.core.trees import flatten, path_name
from gradtx.inspection.stages import is_chain, spied, stages
from gradtx.inspection.watch import watch
from gradtx.precision.loss_scale import dynamic_loss_scale
from gradtx.wrappers.accumulate import accumulate
from gradtx.wrappers.every import every
from gradtx.wrappers.inject import InjectState, inject
from gradtx.wrappers.skip import skip_if, skip_nonfinite, skip_spikes

_trace_state = getattr(jex, "get_opaque_trace_state", None) or jax_core.get_opaque_trace_state  # JAX 0.6: the second


class Record(NamedTuple):
    """What one member did.

    place: its name, after those of what it is in: `accumulate/scale_by_adam`. way: "" for a member; of a wrapper that
    was looked into, "in" for what it does before its inside, "out" for what it does after. piece: the member.
    before, after: the updates, leaf by leaf, None where a leaf is another's. state: its next state. ran: a bool scalar,
    whether it had a part in this step; None where it always has. closed: whether there is more inside, not to be seen.
    """

    place: str
    way: str
    piece: GradientTransformation
    before: list
    after: list
    state: Any
    ran: Any = None
    closed: bool = False


def seen_from_inside(
    tx: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict[str, Any]
) -> tuple[Any, Any, list[Record]]:
    """The updates and the state of `tx.update`, and a record of each member; under a trace of the caller's."""
    log: list[Record] = []
    updates, state = _Look(log, len(flatten(updates)[0])).at(tx, "").update(updates, state, params, **extra)
    return updates, state, log


class _Look:
    """The transformation with every member replaced by one that is looked at, at any depth."""

    def __init__(self, log: list[Record], count: int):
        self.log = log
        self.count = count  # of leaves, those that are None among them

    def leaves(self, tree: Any) -> list:
        found = flatten(tree)[0]
        return found if len(found) == self.count else [None] * self.count  # a part without leaves may be ()

    def at(self, tx: GradientTransformation, place: str, label: str | None = None) -> GradientTransformation:
        """The transformation to run in its stead.

        Args:
            tx: the transformation.
            place: that of what it is in, with a slash at its end.
            label: its own name there, where it is not the usual one; a chain without one has no level.
        """
        piece = tx.piece
        if is_chain(tx):
            inside = place if label is None else f"{place}{label}/"
            return chain(**{name: self.at(member, inside, name) for name, member in stages(tx)})
        here, made_by = f"{place}{label or piece.member_name}", piece.made_by
        if made_by is watch:
            return spied(piece, self._watched(piece, place if label is None else f"{place}{label}/"))
        if made_by in BRANCHING:
            return spied(piece, self._branch(piece, here))
        if made_by is inject:
            return spied(piece, self._injected(piece, here))
        children = {name: x for name, x in piece.children.items() if is_transformation(x)}
        if not children:
            return spied(piece, self._member(piece, here))
        return self._wrapper(piece, children, here)

    def _member(self, piece: GradientTransformation, here: str) -> Callable:
        def listener(call, updates, state, params, **extra):
            new, after = call(updates, state, params, **extra)
            self.log.append(Record(here, "", piece, self.leaves(updates), self.leaves(new), after))
            return new, after

        return listener

    def _wrapper(self, piece: GradientTransformation, children: dict, here: str) -> GradientTransformation:
        """Its own code runs, round an inside that is looked at: so whatever it gives to the inside is seen."""
        calls: list[tuple[str, Any, list, list]] = []

        def entered(name: str) -> Callable:
            def listener(call, updates, state, params, **extra):
                result = call(updates, state, params, **extra)
                calls.append((name, _trace(), self.leaves(updates), self.leaves(result[0])))
                return result

            return listener

        def child(name: str, inner: GradientTransformation) -> GradientTransformation:
            inside = f"{here}/" if len(children) == 1 else f"{here}/{name.partition('/')[2] or name}/"
            return spied(self.at(inner, inside), entered(name))

        def listener(call, updates, state, params, **extra):
            start = len(self.log)
            calls.clear()
            new, after = call(updates, state, params, **extra)
            names, given = [name for name, *_ in calls], self.leaves(updates)
            if any(trace != _trace() for _, trace, *_ in calls) or len(set(names)) < len(names):
                del self.log[start:]  # under a condition or in a loop: what was seen there belongs to another trace
                self.log.append(Record(here, "", piece, given, self.leaves(new), after, closed=True))
                return new, after
            into, out = given, given
            for _, _, came, left in calls:
                into, out = _over(came, into), _over(left, out)
            self.log.insert(start, Record(here, "in", piece, given, into, None))
            self.log.append(Record(here, "out", piece, out, self.leaves(new), after))
            return new, after

        return spied(piece.with_children({name: child(name, x) for name, x in children.items()}), listener)

    def _branch(self, piece: GradientTransformation, here: str) -> Callable:
        """What runs its inside under a condition runs as it is; the inside runs once more, to be seen."""

        def listener(call, updates, state, params, **extra):
            new, after = call(updates, state, params, **extra)
            start, old = len(self.log), plain(state)
            ran, into = BRANCHING[piece.made_by](piece, updates, old, plain(after))
            inner = piece.inner
            out, _ = self.at(inner, f"{here}/").update(into, old.inner, params, **inner.extras.taken(extra))
            rows = self.log[start:]
            self.log[start:] = [row._replace(ran=ran if row.ran is None else ran & row.ran) for row in rows]
            given = self.leaves(updates)
            self.log.insert(start, Record(here, "in", piece, given, self.leaves(into), None, ran))
            before = [_chosen(ran, x, g) for x, g in zip(self.leaves(out), given, strict=True)]
            self.log.append(Record(here, "out", piece, before, self.leaves(new), after))
            return new, after

        return listener

    def _watched(self, piece: GradientTransformation, inside: str) -> Callable:
        """What is watched, without the watch: it has a ring of numbers for each stage, and this is one step."""

        def listener(call, updates, state, params, **extra):
            new, after = self.at(piece.inner, inside).update(updates, state.inner, params, **extra)
            return new, state._replace(inner=after)

        return listener

    def _injected(self, piece: GradientTransformation, here: str) -> Callable:
        """The inside with the hyperparameters of the state, as `inject` has it."""

        def listener(call, updates, state, params, **extra):
            names = jax.eval_shape(call, updates, state, params, **extra)[1].hyperparameters  # raises what it raises
            held = {k: jnp.asarray(state.hyperparameters[k]) for k in names}
            held = {k: v.astype(float_dtype(v)) for k, v in held.items()}

            def stops(x: Any) -> bool:
                return is_schedule(x) or (is_transformation(x) and x.made_by is inject)

            inner = jax.tree_util.tree_map_with_path(lambda p, x: held.get(path_name(p), x), piece.inner, is_leaf=stops)
            new, after = self.at(inner, f"{here}/").update(updates, state.inner, params, **extra)
            return new, InjectState(held, after)

        return listener


def plain(state: Any) -> Any:
    """The state of a piece itself, without the hyperparameters that the core keeps for it."""
    return state.inner if isinstance(state, HyperparametersState) else state


Branch = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


def _skips(piece: Any, updates: Any, state: Any, after: Any) -> tuple[Any, Any]:
    return after.skipped == state.skipped, updates


def _every(piece: Any, updates: Any, state: Any, after: Any) -> tuple[Any, Any]:
    return state.count == 0, updates


def _accumulates(piece: Any, updates: Any, state: Any, after: Any) -> tuple[Any, Any]:
    parts = (state.mini_step + 1).astype(float_dtype(updates)) if piece.reduction == "mean" else 1.0
    return after.mini_step == 0, map_leaves(lambda g, a: a / parts, updates, after.accumulated)


def _unscales(piece: Any, updates: Any, state: Any, after: Any) -> tuple[Any, Any]:
    scale = jnp.asarray(state.scale)
    return after.skipped == state.skipped, map_leaves(lambda g: g / scale, updates)


BRANCHING: dict[Any, Branch] = {
    skip_nonfinite: _skips,
    skip_if: _skips,
    skip_spikes: _skips,
    every: _every,
    accumulate: _accumulates,
    dynamic_loss_scale: _unscales,
}
"""Wrappers that run their inside under a condition: `(piece, updates, state, next state)` to whether it ran, and with
which updates."""


def _over(leaves: list, below: list) -> list:
    return [y if x is None else x for x, y in zip(leaves, below, strict=True)]


def _chosen(ran: Any, x: Any, otherwise: Any) -> Any:
    if x is None or not hasattr(x, "dtype") or x is otherwise:
        return x
    return jax.tree.map(lambda a, b: jnp.where(ran, a, b.astype(a.dtype)), x, jnp.asarray(otherwise))


def _trace() -> Any:
    """The trace in which this runs: what is computed in one is of no use in another."""
    return _trace_state(convention="gradtx")
