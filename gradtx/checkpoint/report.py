"""What a checkpoint holds and what is asked of it, compared."""

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
    """A leaf that is not of the shape or type that was asked for.

    Fields: name, saved, wanted, loaded.
    """

    name: str  # its path here
    saved: str  # what the checkpoint has, as `float32[3,2]`
    wanted: str  # what the target has
    loaded: bool  # whether it was cast to the target's type; where not, the target's own value stays


@dataclass(frozen=True)
class Report:
    """How a checkpoint and a target differ, by the paths of their leaves. `print` it.

    Args:
        loaded: leaves that came from the checkpoint, of those in the target.
        missing: leaves of the target that the checkpoint has not; the target's values stay.
        extra: leaves of the checkpoint that the target has not; they are dropped.
        renamed: pairs of paths, old and new, of subtrees that stand elsewhere in the target; they are loaded. A subtree
            is taken for the same where all its paths, shapes and types are, no other fits as well, and it is not a part
            of some other state: the names of fields, such as `mu` and `nu`, are never exchanged.
        doubtful: states of one name and a number, `add_momentum` and `add_momentum_1`, of which there are more or fewer
            now, so that nobody knows which is which; they are not loaded. Names do: `chain(slow=..., fast=...)`.
        reshaped: leaves of another shape; they are not loaded, the target's values stay.
        retyped: leaves of another type: each a `Change` that says whether it could be cast.
    """

    loaded: int = 0
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    doubtful: tuple[str, ...] = ()
    reshaped: tuple[Change, ...] = ()
    retyped: tuple[Change, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.extra or self.renamed or self.doubtful or self.reshaped or self.retyped)

    def __str__(self) -> str:
        rows = [
            ("missing from the checkpoint, the target's values stay", self.missing),
            ("extra in the checkpoint, dropped", self.extra),
            ("renamed, loaded", [f"{old} -> {new}" for old, new in self.renamed]),
            ("of one name, and more or fewer than there were, not loaded", self.doubtful),
            ("of another shape, not loaded", _shown(self.reshaped)),
            ("of another type, cast", _shown(c for c in self.retyped if c.loaded)),
            ("of another type, not loaded", _shown(c for c in self.retyped if not c.loaded)),
        ]
        lines = [f"  {what}: {_listed(names)}" for what, names in rows if names]
        return "\n".join([f"{self.loaded} leaves loaded", *lines])


class Comparison(NamedTuple):
    """A report, and for each leaf of the target that is loaded the leaf of the checkpoint that it comes from.

    Fields: report, sources.
    """

    report: Report
    sources: dict[str, str]


def comparison(saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf], *, renames: bool = True) -> Comparison:
    """Find for each leaf that is wanted the one that was saved.

    Args:
        saved: what the checkpoint has, by path.
        wanted: what the target has.
        renames: whether subtrees that moved are looked for.
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
    report = Report(
        len(sources),
        tuple(name for name in wanted if name in missing),
        tuple(name for name in saved if name in extra),
        tuple(renamed),
        tuple(doubtful),
        tuple(reshaped),
        tuple(retyped),
    )
    return Comparison(report, sources)


def castable(saved: str, wanted: str) -> bool:
    """Whether values keep their meaning, if not all their digits: between floats, and to a wider type of the kind."""
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
    return [f"{c.name} is {c.saved} there, {c.wanted} here" for c in changes]


def _listed(names) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
