"""The stages of a transformation, and one update looked at: what goes into each stage, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain, spliced
from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.core.states import HyperparametersState
from gradtx.core.transformation import Transformation, as_transformation, transformation
from gradtx.core.trees import flatten, shape_of
from gradtx.eager import trace_here
from gradtx.values.value import member_names


def stages(tx: Any) -> tuple[tuple[str, GradientTransformation], ...]:
    """Name the stages that updates go through: the members of a chain, or of a recipe that stands for one.

    Chains and recipes among the unnamed members are spliced in, as in the chain itself. The names are those in the
    chain's state, in which members without state have no entry.

    Args:
        tx: a transformation. Anything that is not a chain is one stage, also a wrapper.

    Returns: (name, transformation) of each stage, in order; none for the empty chain.
    Raises: TypeError: no transformation. ValueError: a batch of them.

    Example:
        >>> import gradtx
        >>> [name for name, _ in gradtx.stages(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3)))]
        ['clip_by_global_norm', 'scale_by_adam', 'add_decayed_weights', 'scale_by_learning_rate']
    """
    tx = as_transformation("tx", tx)
    piece = tx.piece
    if not _is_chain(piece):
        return ((tx.member_name, tx),)
    unnamed = tuple(step for member in piece.members for step in spliced(member))
    return (*zip(member_names(unnamed), unnamed, strict=True), *piece.named.items())


class Record(NamedTuple):
    """What one stage did.

    place: its name, after the names of what it is in: `accumulate/scale_by_adam`. way: "" for a member; for a wrapper
    that was looked into, "in" for what it does before its inside, "out" for what it does after. piece: the
    transformation. before, after: the updates, leaf by leaf, None where a leaf belongs to another stage. state: its
    next state. ran: a bool scalar, whether it had a part in this step; None where it always has. closed: whether it has
    an inside that cannot be seen.
    """

    place: str
    way: str
    piece: GradientTransformation
    before: list
    after: list
    state: Any
    ran: Any = None
    closed: bool = False


def look(
    tx: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any], *, inside: bool
) -> tuple[Any, Any, list[Record]]:
    """Make one update, and keep what each stage did.

    Args:
        tx: a transformation.
        updates, state, params, extra: as for its `update`.
        inside: whether to look into wrappers, at any depth; then this must run under one trace. Else the records are
            those of `stages(tx)`.

    Returns: the updates and the state, equal to those of `tx.update` to the bit outside jit; the records, in order.
    Raises: what `tx.update` raises.
    """
    tx, log = as_transformation("tx", tx), []
    seen = _Look(log, len(flatten(updates)[0]), inside).at(tx, "")
    return *seen.update(updates, state, params, **extra), log


class _Look:
    """Replaces the members of a transformation by ones that record what they do."""

    def __init__(self, log: list[Record], count: int, inside: bool):
        self.log, self.inside = log, inside
        self.count = count  # of leaves, those that are None among them

    def at(self, tx: GradientTransformation, place: str, name: str | None = None) -> GradientTransformation:
        """The transformation to run in place of this one.

        Args:
            tx: the transformation.
            place: that of what it is in, with a slash at the end.
            name: its name there, where it has one. What has none and only passes updates on is no level of its own.
        """
        piece = tx.piece
        here, below = f"{place}{name or piece.member_name}", place if name is None else f"{place}{name}/"
        if _is_chain(piece) and (self.inside or name is None):
            return chain(**{inner: self.at(member, below, inner) for inner, member in stages(tx)})
        inner = {name: x for name, x in piece.children.items() if is_transformation(x)}
        if not inner or not self.inside:
            return _spied(piece, self._member(piece, here))
        if piece.passes is not None:
            return _spied(piece, self._passed(piece, below))
        if piece.branch is not None:
            (only,) = inner.values()
            return _spied(piece, self._branch(piece, only, here))
        return self._wrapper(piece, inner, here)

    def _leaves(self, tree: Any) -> list:
        found = flatten(tree)[0]
        return found if len(found) == self.count else [None] * self.count  # a part without leaves may be ()

    def _member(self, piece: GradientTransformation, here: str) -> Callable:
        def listener(call, updates, state, params, **extra):
            new, after = call(updates, state, params, **extra)
            self.log.append(Record(here, "", piece, self._leaves(updates), self._leaves(new), after))
            return new, after

        return listener

    def _passed(self, piece: GradientTransformation, below: str) -> Callable:
        """What leaves the updates to its inside is not a stage: the inside runs instead."""

        def listener(call, updates, state, params, **extra):
            passes: Any = piece.passes
            inner, held = passes(state)
            new, after = self.at(inner, below).update(updates, held, params, **extra)
            return new, state._replace(inner=after)

        return listener

    def _branch(self, piece: GradientTransformation, inner: GradientTransformation, here: str) -> Callable:
        """What runs its inside in some steps only runs as it is. The inside runs once more, to be seen."""

        def listener(call, updates, state, params, **extra):
            new, after = call(updates, state, params, **extra)
            branch: Any = piece.branch
            start, decision = len(self.log), branch.decide(updates, state, params, **extra)
            into, held = decision.updates(), plain(state).inner
            out, _ = self.at(inner, f"{here}/").update(into, held, params, **inner.extras.taken(extra))
            ran = decision.ran(out)
            rows = self.log[start:]
            self.log[start:] = [row._replace(ran=ran if row.ran is None else ran & row.ran) for row in rows]
            given = self._leaves(updates)
            self.log.insert(start, Record(here, "in", piece, given, self._leaves(into), None, ran))
            before = [_chosen(ran, x, g) for x, g in zip(self._leaves(out), given, strict=True)]
            self.log.append(Record(here, "out", piece, before, self._leaves(new), after))
            return new, after

        return listener

    def _wrapper(self, piece: GradientTransformation, children: dict, here: str) -> GradientTransformation:
        """Its own code runs, around an inside that is looked at: so what it gives to the inside is seen."""
        calls: list[tuple[str, Any, list, list]] = []

        def child(name: str, inner: GradientTransformation) -> GradientTransformation:
            def listener(call, updates, state, params, **extra):
                result = call(updates, state, params, **extra)
                calls.append((name, trace_here(), self._leaves(updates), self._leaves(result[0])))
                return result

            label = "" if len(children) == 1 else f"{name.partition('/')[2] or name}/"
            return _spied(self.at(inner, f"{here}/{label}"), listener, inner.member_name)

        def listener(call, updates, state, params, **extra):
            start = len(self.log)
            calls.clear()
            new, after = call(updates, state, params, **extra)
            names, given = [name for name, *_ in calls], self._leaves(updates)
            if any(trace != trace_here() for _, trace, *_ in calls) or len(set(names)) < len(names):
                del self.log[start:]  # it ran in a branch or a loop: what was seen there belongs to another trace
                self.log.append(Record(here, "", piece, given, self._leaves(new), after, closed=True))
                return new, after
            into, out = given, given
            for (_, _, came, _), (_, _, _, left) in zip(reversed(calls), calls, strict=True):
                into, out = _over(came, into), _over(left, out)  # of insides in a row: into the first, out of the last
            # The sum of several of the same updates, or a mix of them, is compared with these, not with one of several.
            out = [i if same else o for i, o, same in zip(into, out, _side_by_side(calls, self.count), strict=True)]
            into, out = _alike(into, given), _alike(out, given)
            self.log.insert(start, Record(here, "in", piece, given, into, None))
            self.log.append(Record(here, "out", piece, out, self._leaves(new), after))
            return new, after

        return _spied(piece.with_children({name: child(name, x) for name, x in children.items()}), listener)


def _spied(
    member: GradientTransformation, listener: Callable[..., tuple[Any, Any]], name: str | None = None
) -> GradientTransformation:
    """A transformation with the same state. Each of its updates calls `listener(update, updates, state, params,
    **extra)`, which returns the result of that update. Its name is that of the member unless given."""

    def body(inner: Transformation):
        def update(updates, state, params=None, **extra):
            return listener(inner.update, updates, state, params, **extra)

        return inner.init, update

    body.__name__ = name or member.name  # errors, and states of several members, name the member
    return transformation(any_leaves=True, sparse_rows=True)(body)(member)


def plain(state: Any) -> Any:
    """The state of a piece itself, without the values of its schedules."""
    return state.inner if isinstance(state, HyperparametersState) else state


def _is_chain(piece: GradientTransformation) -> bool:
    return piece.made_by is chain


def _over(leaves: list, below: list) -> list:
    return [y if x is None else x for x, y in zip(leaves, below, strict=True)]


def _side_by_side(calls: list, count: int) -> list[bool]:
    """For each leaf, whether several insides were given the same array."""
    came = ([x for x in column if x is not None] for column in zip(*(came for _, _, came, _ in calls), strict=True))
    found = [len(xs) > 1 and all(x is xs[0] for x in xs) for xs in came]
    return found or [False] * count


def _alike(leaves: list, outside: list) -> list:
    """The leaves; those that have another shape inside cannot be compared, and count as what came in outside."""
    return [g if shape_of(x) != shape_of(g) else x for x, g in zip(leaves, outside, strict=True)]


def _chosen(ran: Any, x: Any, otherwise: Any) -> Any:
    if x is None or not hasattr(x, "dtype") or x is otherwise:
        return x
    return jax.tree.map(lambda a, b: jnp.where(ran, a, b.astype(a.dtype)), x, jnp.asarray(otherwise))
