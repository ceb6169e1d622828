"""The passport of a transformation: what its docstring says, what its catalog entry says, and what was measured."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gradtx.core.pair import GradientTransformation, is_transformation
from gradtx.errors import describe, suggestion
from gradtx.passports.figures import Raced, figures, raced
from gradtx.passports.page import markdown, text
from gradtx.rates.estimator import Estimator

if TYPE_CHECKING:
    from gradtx.catalog import Entry

KINDS = ("piece", "recipe", "wrapper", "aggregate")
YES = ("any_leaves", "sparse_rows", "clips", "whole_tree", "needs_matrices", "takes_examples")


@dataclasses.dataclass(frozen=True)
class Passport:
    """What is known of a factory of transformations. It prints as a page of text; a notebook shows it as a table.

    name, kind, summary, source, year: as in the catalog; `source` has all that the docstring says of it.
    formulas: name -> formula, in the letters of the code: its own, and those of the pieces of which it is made.
    call: what was measured.
    traits: the names of those that it declares. sign: -1 if its updates point against the gradients, 1 if not, 0 if
        they may do both.
    state_bytes: of the state, for each parameter in float32: on a vector, if it takes one,
        and on a matrix of 2²⁰ entries.
    moved_bytes: read and written by a compiled step on the matrix, for each parameter, as XLA's CPU compiler counts;
        of iterations and decompositions it does not count everything. one_pass: if each array were moved once.
    ulp: the largest and the median error of its updates in float32 against float64 over 1,000 steps, in units in the
        last place of float32.
    identities: settings with which it is another transformation -> that one, and how far they were apart over some
        steps, relative to the largest update.
    agreement: library -> setting -> how far the parameters of both were apart over 100 steps, at most, in ulp of
        float32 and, computed in float64, in ulp of float64.
    differs: library -> in which way it does something else when it is given the same hyperparameters.
    trials: what was done to it -> what came of it; `trial_abouts` says what these numbers are.
    race: task -> how it did there.
    not_measured: why figures are missing, or "".
    versions: library -> the version with which the figures were made.
    """

    name: str
    kind: str
    summary: str
    source: str
    year: int | None
    formulas: Mapping[str, str]
    call: str
    traits: tuple[str, ...]
    sign: int | None
    state_bytes: Mapping[str, float]
    moved_bytes: float | None
    one_pass: float | None
    ulp: tuple[float, float] | None
    identities: tuple[tuple[str, str, float], ...]
    agreement: Mapping[str, Mapping[str, tuple[float, float]]]
    differs: Mapping[str, str]
    trials: Mapping[str, float]
    race: Mapping[str, Raced]
    not_measured: str
    versions: Mapping[str, str]

    @property
    def trial_abouts(self) -> Mapping[str, str]:
        """What each trial does, and what its number is."""
        return {name: figures()["trials"][name] for name in self.trials}

    @property
    def task_abouts(self) -> Mapping[str, str]:
        """What the tasks of the race are."""
        return {task: figures()["tasks"][task] for task in self.race}

    @property
    def won(self) -> tuple[str, ...]:
        """The tasks of the race on which no recipe needed fewer steps."""
        return tuple(task for task, how in self.race.items() if how.won)

    @property
    def failed(self) -> tuple[str, ...]:
        """The tasks of the race on which no learning rate reached the target."""
        return tuple(task for task, how in self.race.items() if how.failed)

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts, lists, text and numbers."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**found, "race": {task: how._asdict() for task, how in self.race.items()}}

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return f"passport({self.name!r})"

    def _repr_markdown_(self) -> str:
        return markdown(self)


def passport(which: Any) -> Passport:
    """Return what is known and measured of a transformation.

        print(gradtx.passport("adam"))

    The figures come from a file that the tests make, with the versions of that run; nothing is measured here.

    Args:
        which: the name of a public factory of transformations, the factory, or a transformation that it made, other
            than a chain or a wrapper. The passport is that of the factory. What was measured had the arguments that
            the page names, not your own, and not always the defaults.

    Raises:
        ValueError: there is no such factory, or it makes schedules; `which` is a chain or a wrapper, whose figures are
            those of what is inside.
        TypeError: `which` is something else.

    Example:
        >>> import gradtx
        >>> adam = gradtx.passport("adam")
        >>> adam.state_bytes["vector"], adam.sign
        (8, -1)
    """
    from gradtx.catalog import ENTRIES  # it takes a moment, and `import gradtx` is not to wait for it

    entry = ENTRIES[_name(which, ENTRIES)]
    measured = figures()["entries"][entry.name]
    tx, traits, sign = None, (), None
    if entry.kind in ("piece", "recipe"):
        tx = entry.make()
        traits, sign = tuple(name for name in YES if getattr(tx.traits, name)), tx.traits.sign
        traits += ("sets_params",) * bool(tx.traits.sets_params)
    return Passport(
        name=entry.name,
        kind=entry.kind,
        summary=entry.summary,
        source=_section(entry, "Source") or entry.source,
        year=entry.year,
        formulas=_formulas(entry, tx, ENTRIES),
        call=measured["call"],
        traits=traits,
        sign=sign,
        state_bytes=dict(measured.get("state", {})),
        moved_bytes=measured.get("moves", [None])[0],
        one_pass=measured.get("moves", [None])[-1],
        ulp=_numbers(measured["ulp"]) if "ulp" in measured else None,
        identities=tuple((one, other, float(apart)) for one, other, apart in measured.get("identities", ())),
        agreement={
            library: {setting: _numbers(pair) for setting, pair in found.items()}
            for library, found in measured.get("agreement", {}).items()
        },
        differs=_differs(entry),
        trials={name: float(value) for name, value in measured.get("trials", {}).items()},
        race=raced(entry.name),
        not_measured=measured.get("not", ""),
        versions=dict(figures()["versions"]),
    )


def _name(which: Any, entries: Mapping[str, Entry]) -> str:
    known = [name for name, entry in entries.items() if entry.kind in KINDS]
    if isinstance(which, GradientTransformation):
        name = which.name
        if name in entries and entries[name].kind == "wrapper":
            names = dict.fromkeys(part.name for part in _inside(which) if is_transformation(part))
            inside = ", ".join(x for x in names if x in known and entries[x].kind != "wrapper")
            raise ValueError(
                f"passport: this is a {name} of {inside or 'others'}: ask for theirs; that of {name!r} itself comes by "
                "name"
            )
    elif callable(which) and hasattr(which, "factory"):
        name = which.__name__
    elif isinstance(which, str):
        name = which
    else:
        raise TypeError(
            "passport: expected the name of a factory of transformations, the factory, or a transformation; got "
            f"{describe(which)}"
        )
    if name not in known:
        elsewhere = next((e.name for e in entries.values() if {name, f"contrib.{name}"} & {*e.optax_names}), "")
        instead = f": here it is {elsewhere!r}" if elsewhere in known else suggestion(name, known)
        what = "a factory of schedules" if name in entries else "no public factory of transformations"
        raise ValueError(f"passport: {name!r} is {what}{instead}")
    return name


def _numbers(pair: Any) -> tuple[float, float]:
    first, second = pair
    return float(first), float(second)


def _doc(factory: Any) -> str:
    return inspect.getdoc(factory) or ""


def _section(entry: Entry, heading: str) -> str:
    """A part of the docstring, without line breaks."""
    found = re.search(rf"^{heading}:(.*?)(?=^\w+:|\Z)", _doc(entry.factory), re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _formula(factory: Any) -> str:
    """The indented lines of a docstring before its first heading."""
    before = re.split(r"^\w+:", _doc(factory), maxsplit=1, flags=re.MULTILINE)[0]
    blocks = [block for block in before.split("\n\n") if block.startswith("    ")]
    return "\n".join(inspect.cleandoc(block) for block in blocks)


def _formulas(entry: Entry, tx: Any, entries: Mapping[str, Entry]) -> dict[str, str]:
    parts = [part for part in _inside(tx) if part.name in entries or isinstance(part, Estimator)]
    named = {entry.name: entry.factory} | {repr(part).partition("(")[0]: part.made_by for part in parts}
    return {name: formula for name, factory in named.items() if (formula := _formula(factory))}


def _inside(tx: Any) -> Iterator[GradientTransformation | Estimator]:
    """What a transformation is made of: others, and the estimators of learning rates."""
    if tx is not None:
        for part in tx.piece.children.values():
            if isinstance(part, Estimator):
                yield part
            elif is_transformation(part):
                yield part
                yield from _inside(part)


def _differs(entry: Entry) -> dict[str, str]:
    """What the catalog says of the usual setting in other libraries."""
    usual = entry.settings[""]
    peers = {library: getattr(usual, library) for library in ("optax", "torch", "keras")}
    return {library: peer.differs for library, peer in peers.items() if peer and peer.differs}
