"""The comparison of a checkpoint with the targets of a restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from gradtx.checkpoint.leaves import PYTHON, Leaf, is_key_type
from gradtx.checkpoint.moves import moves, numbered

_SHOWN = 6


class Change(NamedTuple):
    """A leaf with another shape or type in the checkpoint than in the target."""

    name: str  # its path in the target
    saved: str  # its type and shape in the checkpoint: `float32[3,2]`
    wanted: str  # its type and shape in the target
    loaded: bool  # whether it was converted to the target's type; if not, the target keeps its own value


@dataclass(frozen=True)
class Report:
    """The differences between a checkpoint and a target, by the paths of their leaves. `print` shows them.

    Args:
        loaded: the number of leaves of the target that were loaded from the checkpoint.
        missing: leaves that only the target has; they keep the target's values.
        extra: leaves that only the checkpoint has; they are ignored.
        renamed: pairs (old path, new path) of subtrees with another path in the target; they are loaded. Two subtrees
            are the same if all their paths, shapes and types are equal, no other subtree matches, and neither is part
            of another state. The names of fields, such as `mu` and `nu`, are never exchanged.
        doubtful: states whose names differ in a number only, such as `add_momentum` and `add_momentum_1`, if the
            checkpoint and the target have different numbers of them. Which is which is then unknown, so they are not
            loaded. Names of your own avoid this: `chain(slow=..., fast=...)`.
        reshaped: leaves with another shape; they are not loaded and keep the target's values.
        retyped: leaves with another type; each is a `Change` that says whether it was converted.
        late: missing leaves of a state whose count was loaded, for example the moments of a parameter that was frozen
            before. They begin at their initial values while the count goes on. A bias correction by this count makes
            the first steps of these parameters too long (about 3 times with Adam's usual decays). To avoid this,
            restore into `route({"body": adam(...)}, default=adam(...))` with a rule for these parameters: the state of
            each rule has its own count.
    """

    loaded: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    doubtful: tuple[str, ...] = ()
    reshaped: tuple[Change, ...] = ()
    retyped: tuple[Change, ...] = ()
    late: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether there is no difference."""
        return not (self.missing or self.extra or self.renamed or self.doubtful or self.reshaped or self.retyped)

    def __str__(self) -> str:
        rows = [
            ("missing from the checkpoint, the target's values stay", self.missing),
            ("extra in the checkpoint, ignored", self.extra),
            ("renamed, loaded", [f"{old} -> {new}" for old, new in self.renamed]),
            ("numbered states, more or fewer than before, not loaded", self.doubtful),
            ("different shape, not loaded", _shown(self.reshaped)),
            ("different type, converted", _shown(c for c in self.retyped if c.loaded)),
            ("different type, not loaded", _shown(c for c in self.retyped if not c.loaded)),
            ("missing, though the count of their state was loaded: first steps may be too long, see Report", self.late),
        ]
        lines = [f"  {what}: {_listed(names)}" for what, names in rows if names]
        return "\n".join([f"{self.loaded} leaves loaded", *lines])


class Comparison(NamedTuple):
    """The result of `comparison`."""

    report: Report
    sources: dict[str, str]  # for each leaf that is loaded: its path in the target -> its path in the checkpoint


def comparison(saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf], *, renames: bool = True) -> Comparison:
    """Find the saved leaf for each leaf of the target.

    Args:
        saved: the leaves of the checkpoint, by path.
        wanted: the leaves of the target, by path.
        renames: whether to look for subtrees that moved.
    """
    doubtful = numbered(saved, wanted)
    left_out = [name for name in {**saved, **wanted} if any(name.startswith(f"{node}/") for node in doubtful)]
    saved = {name: leaf for name, leaf in saved.items() if name not in left_out}
    wanted = {name: leaf for name, leaf in wanted.items() if name not in left_out}
    missing, extra = wanted.keys() - saved.keys(), saved.keys() - wanted.keys()
    renamed = moves(saved, wanted, extra, missing) if renames and missing and extra else []
    sources = {name: name for name in wanted if name in saved}
    for old, new in renamed:
        for name in [name for name in extra if name == old or name.startswith(f"{old}/")]:
            sources[new + name[len(old) :]] = name
    missing -= sources.keys()
    extra -= set(sources.values())
    reshaped, retyped = [], []
    for name, source in sources.items():
        was, now = saved[source], wanted[name]
        if was.shape != now.shape:
            reshaped.append(Change(name, str(was), str(now), False))
        elif was.type != now.type:
            retyped.append(Change(name, str(was), str(now), castable(was.type, now.type)))
    for change in (*reshaped, *retyped):
        if not change.loaded:
            del sources[change.name]
    late = [name for name in wanted if name in missing and _has_loaded_count(name, wanted, sources)]
    report = Report(
        len(sources),
        tuple(name for name in wanted if name in missing),
        tuple(name for name in saved if name in extra),
        tuple(renamed),
        tuple(doubtful),
        tuple(reshaped),
        tuple(retyped),
        tuple(late),
    )
    return Comparison(report, sources)


def _has_loaded_count(name: str, wanted: Mapping[str, Leaf], sources: Mapping[str, str]) -> bool:
    """Whether the state that this leaf belongs to has a scalar field that was loaded."""
    fields = wanted[name].fields
    if not fields or wanted[name].shape == ():
        return False
    node = "/".join(name.split("/")[: fields[-1]])
    beside = (other for other in sources if other.rpartition("/")[0] == node)
    return any(wanted[other].shape == () and fields[-1] in wanted[other].fields for other in beside)


def castable(saved: str, wanted: str) -> bool:
    """Whether a conversion keeps the meaning of values, perhaps not all digits: between floats, to wider integers."""
    if is_key_type(saved) or is_key_type(wanted):
        return False
    was, now = _dtype(saved), _dtype(wanted)
    for kind in (jnp.floating, jnp.complexfloating):
        if jnp.issubdtype(was, kind) and jnp.issubdtype(now, kind):
            return True
    if jnp.issubdtype(was, jnp.integer) and jnp.issubdtype(now, jnp.integer):
        here, there = jnp.iinfo(now), jnp.iinfo(was)
        return here.min <= there.min and there.max <= here.max
    return was == now or (jnp.issubdtype(was, jnp.floating) and jnp.issubdtype(now, jnp.complexfloating))


def _dtype(kind: str) -> np.dtype:
    return np.dtype(PYTHON.get(kind, kind))


def _shown(changes) -> list[str]:
    return [f"{c.name} is {c.saved} in the checkpoint, {c.wanted} in the target" for c in changes]


def _listed(names) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
