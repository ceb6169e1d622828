"""What `explain` measures of one update: every member, in one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.leaves import apply_updates, float_dtype
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import HyperparametersState
from gradtx.core.trees import flatten, is_trained
from gradtx.inspection.buckets import Buckets, Group, by_place, changes, counts, ends, median, sizes
from gradtx.inspection.clips import is_clip
from gradtx.inspection.inside import Record, seen_from_inside
from gradtx.inspection.moments import measured_moments

By = Any
"""Place of a leaf -> name -> number; inside the program, a list of groups."""


class Part(NamedTuple):
    """What one member did, in numbers.

    place, way, closed: as of `Record`. name: of the member. clips: whether it is a clip. numbers: its
    hyperparameters in this step. ran: whether it
    had a part in the step. places: of the leaves that it was given. before, after: what `sizes` tells of each, by
    place; change: what `changes` tells, of those that it changed in any way. moments: field of its state -> what
    `measured_moments` tells.
    """

    place: str
    way: str
    closed: bool
    name: str
    clips: bool
    numbers: dict[str, Any]
    ran: Any
    places: tuple[int, ...]
    before: By
    after: By
    change: By
    moments: dict[str, By]


class Measured(NamedTuple):
    """A step in numbers: of each member, and of gradients, parameters and updates, by place of the leaf."""

    parts: tuple[Part, ...]
    gradients: By
    params: By
    updates: By
    against: By  # `changes` from straight downhill, the negative gradient, to the update
    rates: By  # of |u|/|g|, where g is not zero: median, least, largest
    moved: By  # entries with an update, and those of them whose parameter stays what it is


def measure_step(tx: GradientTransformation, grads: Any, state: Any, params: Any, extra: dict[str, Any]) -> Measured:
    """Run one update inside one program, and give its numbers, on the host."""
    arrays, others = {}, {}
    for name, value in extra.items():
        plain = isinstance(value, bool | str) or callable(value)
        (others if plain else arrays)[name] = value
    key = (tx, tuple(sorted(others.items())))
    grads = jax.tree.map(lambda g: None if _is_float0(g) else g, grads, is_leaf=lambda x: x is None)
    try:
        hash(key)
        program = functools.partial(_program, key)
    except TypeError:  # an argument that is no value, a dict of lists for example: compiled anew each time
        program = jax.jit(functools.partial(_run, key))
    told, numbers = program(grads, state, params, arrays)
    whole = told.put_together(jax.device_get(numbers))
    parts = (_spread(part._replace(moments={k: by_place(x) for k, x in part.moments.items()})) for part in whole.parts)
    return _spread(whole)._replace(parts=tuple(parts))


def _spread(numbers: Any) -> Any:
    """The same with the numbers of each group by their places."""
    grouped = {k: x for k, x in numbers._asdict().items() if isinstance(x, list)}
    return numbers._replace(**{k: by_place(x) for k, x in grouped.items()})


def _run(key: tuple, grads: Any, state: Any, params: Any, arrays: dict[str, Any]) -> tuple[_Told, Any]:
    tx, others = key
    updates, _, log = seen_from_inside(tx, grads, state, params, {**arrays, **dict(others)})
    return _Told.apart(_measured(log, grads, params, updates))


_program = jax.jit(_run, static_argnums=0)


def _measured(log: list[Record], grads: Any, params: Any, updates: Any) -> Measured:
    g, p, u = (flatten(tree)[0] for tree in (grads, params, updates))
    new = flatten(apply_updates(params, updates))[0]
    buckets = Buckets(float_dtype(g, p, u))

    def sized(column: list) -> list[Group]:
        return buckets.each(sizes, column)

    def part(row: Record) -> Part:
        changed = [(b, a) if a is not b else (None, None) for b, a in zip(row.before, row.after, strict=True)]
        return Part(
            row.place,
            row.way,
            row.closed,
            row.piece.member_name,
            is_clip(row.piece) and not row.way,
            _numbers(row),
            row.ran,
            tuple(k for k, x in enumerate(row.before) if is_trained(x)),
            sized(row.before),
            sized(row.after),
            buckets.each(changes, [b for b, _ in changed], [a for _, a in changed]),
            measured_moments(buckets, row),
        )

    return Measured(
        tuple(map(part, log)),
        sized(g),
        sized(p),
        sized(u),
        buckets.each(_from_downhill, g, u),
        buckets.each(_rates, g, u),
        buckets.each(_moved, p, u, new),
    )


def _from_downhill(g: jax.Array, u: jax.Array, valid: Any) -> dict[str, Any]:
    return changes(-g, u, valid)


def _rates(g: jax.Array, u: jax.Array, valid: Any) -> dict[str, Any]:
    rates = jnp.where((g != 0) & jnp.isfinite(g), jnp.abs(u) / jnp.where(g == 0, 1, jnp.abs(g)), jnp.nan)
    least, largest = ends(rates, valid)
    return {"median": median(rates, valid), "least": least, "largest": largest}


def _moved(p: jax.Array, u: jax.Array, new: jax.Array, valid: Any) -> dict[str, Any]:
    due, stalled = counts(valid, u != 0, (u != 0) & (new == p))
    return {"due": due, "stalled": stalled}


def _numbers(row: Record) -> dict[str, Any]:
    """The hyperparameters that this step used."""
    given = {k: x for k, x in row.piece.hypers.items() if x is not None and not is_schedule(x)}
    used = row.state.hyperparameters if isinstance(row.state, HyperparametersState) else {}
    return {name: jnp.asarray(x) for name, x in {**given, **used}.items()}


def _is_float0(x: Any) -> bool:
    return getattr(x, "dtype", None) == jax.dtypes.float0


@jax.tree_util.register_pytree_node_class
class _Told:
    """What a program tells besides numbers, as a node without leaves: so it comes out of a jitted function."""

    def __init__(self, structure: Any, words: Sequence[tuple | None]):
        self.structure, self.words = structure, words

    @classmethod
    def apart(cls, tree: Any) -> tuple[_Told, list]:
        """The words of a tree, and its numbers."""
        leaves, structure = jax.tree.flatten(tree, is_leaf=lambda x: x is None)
        words = [None if isinstance(x, jax.Array) else (x,) for x in leaves]
        return cls(structure, words), [x for x in leaves if isinstance(x, jax.Array)]

    def put_together(self, numbers: list[np.ndarray]) -> Any:
        """The tree again, with these numbers."""
        left = iter(numbers)
        return jax.tree.unflatten(self.structure, [next(left) if w is None else w[0] for w in self.words])

    def tree_flatten(self):
        return (), (self.structure, tuple(self.words))

    @classmethod
    def tree_unflatten(cls, aux: tuple, children: Any) -> _Told:
        return cls(aux[0], list(aux[1]))
