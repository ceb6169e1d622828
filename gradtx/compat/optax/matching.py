"""Which field of gradtx's state belongs to which field of optax's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gradtx.compat.fields import Field, FieldReader
from gradtx.compat.optax.translations import (
    ALSO,
    FRESH,
    IN_PARAMS,
    INLINE,
    KNOWN,
    LABELS,
    OTHER_COUNTS,
    REFUSED,
    SKIPPING,
    TRANSLATIONS,
    Translation,
)

UNLIKE = "tx must be the same chain as optax's, in the same order"


class Record(NamedTuple):
    """One state of optax.

    fields: its own fields, name -> number of the field. translation: where gradtx has them. own: for each link of the
    translation the number of gradtx's field. is_schedule: whether it only counts updates.
    """

    kind: str
    place: str
    fields: dict[str, int]
    translation: Translation
    own: list[int]
    is_schedule: bool = False

    @property
    def count(self) -> int | None:
        """The number of the field with the number of updates; None if it has none."""
        return self.fields.get(self.translation.count[0])


class Match(NamedTuple):
    """Two states side by side.

    ours, theirs: their fields, with how to put others into them. records: optax's states. counts: numbers of our
    fields that hold the number of updates -> the record that it is of; None for a schedule, whose are `schedules` in
    optax's. hypers: our hyperparameters -> theirs.
    """

    ours: list[Field]
    theirs: list[Field]
    records: list[Record]
    counts: dict[int, Record | None]
    schedules: list[Record]
    hypers: dict[int, int]

    @property
    def counting(self) -> list[Record]:
        """optax's states that hold the number of updates."""
        return [record for record in (*self.records, *self.schedules) if record.count is not None]

    def scope(self, record: Record) -> tuple[str, ...]:
        """The places of the states around this one that skip updates: counts in one scope are the same."""
        around = [r.place for r in self.records if r.kind in SKIPPING and r is not record]
        return tuple(place for place in around if f"{record.place}/".startswith(f"{place}/" if place else ""))

    @property
    def scheduled(self) -> int:
        """How many of our states count the steps of a schedule only."""
        return sum(record is None for record in self.counts.values())


def matched(ours: Any, theirs: Any, params: Any, their_params: Any) -> tuple[Match, FieldReader, FieldReader]:
    """Match gradtx's state with optax's; the result has the readers of both too.

    Raises: ValueError: they are of different chains; the error names the first state that does not fit.
    """
    reader = FieldReader(params)
    fields = reader.fields(ours)
    places = [LABELS.get(x, x) for field in fields for x in field.place]
    ranks = {name: k for k, name in reversed(list(enumerate(places)))}
    their_reader = FieldReader(their_params, lambda label: ranks.get(LABELS.get(label, label), len(ranks)), INLINE)
    their_fields = their_reader.fields(theirs)
    waiting = [k for k, field in enumerate(fields) if not (_is_soft(field) or _is_fresh(field))]
    records, schedules = [], []
    for record in _records(their_fields):
        if record.is_schedule:
            schedules.append(record)
            continue
        found = _placed(record, fields, waiting)
        records.append(found)
        waiting = waiting[len(found.own) :]
    if waiting:
        field = fields[waiting[0]]
        raise ValueError(f"{field.path} ({field.kind}) has nothing in optax's state: {UNLIKE}")
    counts = dict(_counts(fields, records))
    return Match(fields, their_fields, records, counts, schedules, _hypers(fields, their_fields)), reader, their_reader


def _is_soft(field: Field) -> bool:
    """Whether this is a number of updates, or a hyperparameter."""
    counts = field.name == "count" and field.kind not in OTHER_COUNTS
    return counts or field.name.startswith("hyperparameters/")


def _is_fresh(field: Field) -> bool:
    return (field.kind, field.name) in FRESH


def _records(fields: list[Field]) -> Iterator[Record]:
    nodes: dict[int, list[int]] = {}
    for k, field in enumerate(fields):
        nodes.setdefault(field.node, []).append(k)
    for numbers in nodes.values():
        first = fields[numbers[0]]
        own = {fields[k].name: k for k in numbers if not fields[k].name.startswith("hyperparameters/")}
        counts = Translation(count=("count", 0))
        only_counts = len(numbers) == 1 and own.keys() == {"count"} and first.kind not in TRANSLATIONS
        yield Record(first.kind, "/".join(first.place), own, counts, [], only_counts)


def _placed(record: Record, ours: list[Field], waiting: list[int]) -> Record:
    """The record with our next fields, in the first of the ways in which gradtx may have them."""
    count = "count" if "count" in record.fields else ""
    plain = Translation(" ".join(name for name in record.fields if name != "count"), (count, 0))
    node = ours[waiting[0]].node if waiting else None
    own = [k for k in waiting if ours[k].node == node and ours[k].kind == record.kind]
    ways = [plain] if len(own) == len(plain.links) else []  # as for members of optax in a chain of gradtx
    ways += [] if record.kind in REFUSED else [TRANSLATIONS.get(record.kind, plain), plain]
    for translation in ways:
        wanted = [name for name, _ in translation.links]
        chosen = waiting[: len(wanted)]
        named = {translation.count[0], *translation.kept}
        linked = {name for _, name in translation.links}
        names_fit = sorted(ours[k].name for k in chosen) == sorted(wanted)
        if names_fit and linked - named - IN_PARAMS <= record.fields.keys() <= linked | named:
            _require_one_type(record, [ours[k] for k in chosen])
            return record._replace(translation=translation, own=[_taken(chosen, ours, name) for name in wanted])
    if record.kind in REFUSED:
        raise ValueError(f"optax's {record.kind} cannot be carried over: {REFUSED[record.kind]}")
    next_one = f"the next in tx's is {ours[waiting[0]].path} ({ours[waiting[0]].kind})" if waiting else "tx has no more"
    has = ", ".join(record.fields)
    raise ValueError(f"optax's state at {record.place or 'the top'} is {record.kind}({has}), and {next_one}: {UNLIKE}")


def _require_one_type(record: Record, chosen: list[Field]) -> None:
    """Raise ValueError if our fields are of one state, and the names say that it is not that of optax's piece."""
    kinds = {field.kind for field in chosen if field.node == chosen[0].node == chosen[-1].node}  # ADOPT's are of two
    for kind in kinds - {record.kind}:
        if {record.kind, kind} <= KNOWN and (record.kind, kind) not in ALSO:
            raise ValueError(
                f"optax's state at {record.place or 'the top'} is {record.kind}, and {chosen[0].path} is of {kind}: "
                f"{UNLIKE}"
            )


def _taken(chosen: list[int], ours: list[Field], name: str) -> int:
    """The first of these fields with a name, which is then gone."""
    k = next(k for k in chosen if ours[k].name == name)
    chosen.remove(k)
    return k


def _counts(ours: list[Field], records: list[Record]) -> Iterator[tuple[int, Record | None]]:
    """Each of our numbers of updates, and the record that has fields of its state, or of a state inside.

    None for what belongs to no record and only counts: a schedule.
    """
    for k, field in enumerate(ours):
        if field.name != "count" or not _is_soft(field):
            continue
        here = [r for r in records if any(ours[j].node == field.node for j in r.own)]
        depth = len(field.place)
        inside = [r for r in records if any(ours[j].place[:depth] == field.place for j in r.own)]
        found = next(iter(here or inside), None)
        alone = sum(other.node == field.node for other in ours) == 1
        if found is None and not (alone or field.kind == "HyperparametersState"):
            raise ValueError(f"{field.path} ({field.kind}) has nothing in optax's state: {UNLIKE}")
        yield k, found


def _hypers(ours: list[Field], theirs: list[Field]) -> dict[int, int]:
    """Our hyperparameters and optax's of the same name, or whose name is the end of ours."""
    held = {k: f.name for k, f in enumerate(ours) if f.name.startswith("hyperparameters/")}
    found: dict[int, int] = {}
    for j, field in enumerate(theirs):
        if field.name.startswith("hyperparameters/"):
            end = field.name.partition("/")[2]
            fits = [k for k, name in held.items() if name.split("/")[-1] == end and k not in found]
            if fits:
                found[fits[0]] = j
    return found
