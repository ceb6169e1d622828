"""`check`: hand it anybody's transformation, and it says in sentences which laws it breaks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import as_transformation
from gradtx.errors import suggestion
from gradtx.testing.case import Case
from gradtx.testing.compare import BrokenError, SkippedError, first_line
from gradtx.testing.law import Law
from gradtx.testing.laws import LAWS


class LawsBrokenError(AssertionError):
    """Some laws do not hold; the message has a sentence for each, `report` the rest."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check` found: which laws hold, which are broken and how, which were not tried and why.

    held: names of laws. broken: name -> the sentence that says where. skipped: name -> the reason. errors: what was
    raised in laws that expected no error; `require` shows where.
    """

    subject: str
    held: tuple[str, ...]
    broken: dict[str, str]
    skipped: dict[str, str]
    errors: tuple[Exception, ...] = ()

    def require(self) -> None:
        """Raise `LawsBrokenError` unless all laws hold."""
        if self.broken:
            cause = ExceptionGroup("raised while laws were tried", self.errors) if self.errors else None
            raise LawsBrokenError(self) from cause

    @property
    def ok(self) -> bool:
        """Whether no law is broken."""
        return not self.broken

    def __str__(self) -> str:
        tried = len(self.held) + len(self.broken)
        if self.ok:
            lines = [f"{self.subject} keeps all {tried} laws that were tried: {', '.join(self.held)}."]
        else:
            lines = [f"{self.subject} breaks {len(self.broken)} of {tried} laws:"]
            lines += [f"  {name}: {sentence}" for name, sentence in self.broken.items()]
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            lines.append(f"  not tried, {reason}: {', '.join(names) if len(names) < 6 else f'{len(names)} laws'}")
        return "\n".join(lines)


def check(
    tx: Any,
    params: Any = None,
    grads: Any = None,
    *,
    laws: Iterable[str | Law] | None = None,
    raises: bool = True,
    **differences: Any,
) -> Report:
    """Try the laws on a transformation: on gradtx's all, on any other those that make sense for it.

    Args:
        tx: a gradtx value, an optax transformation, or a bare pair `(init, update)`.
        params: parameters to try it on; a small float32 tree unless given. They should be few and small.
        grads: gradients of a usual size for them; normal draws unless given.
        laws: some of the laws, by name or as `Law`s of your own; all unless given. Laws that these presuppose, and
            that are not among them, are taken to hold.
        raises: raise where a law is broken; otherwise only report it.
        **differences: the other fields of `Case`: `extras={"value": 1.0}`, `complex_leaves=True`, ...

    Returns: a `Report`, which prints as sentences.
    Raises: TypeError: `tx` is not a transformation, or a field is unknown. LawsBrokenError: an AssertionError with one
        sentence per broken law, naming law and leaf.

    Example:
        >>> import gradtx, gradtx.testing
        >>> report = gradtx.testing.check(gradtx.sgd(0.1), laws=["state_types", "equality"])
        >>> print(report)
        sgd(learning_rate=0.1) keeps all 2 laws that were tried: state_types, equality.
    """
    as_transformation("tx", tx)  # for its error
    fields = {field.name for field in dataclasses.fields(Case)} - {"tx", "params", "grads"}
    for name in differences.keys() - fields:
        raise TypeError(
            f"check has no argument {name!r}{suggestion(name, fields)}; the fields of Case are {sorted(fields)}"
        )
    case = Case(tx, params, grads, **{"complex_leaves": isinstance(tx, GradientTransformation), **differences})
    report = examine(case, [_law(x) for x in (LAWS.values() if laws is None else laws)])
    if params is None and "traceable" in report.broken:
        report.broken["traceable"] += " (it was tried on a scalar and a matrix: for others, give params=...)"
    if raises:
        report.require()
    return report


def examine(case: Case, laws: Iterable[Law]) -> Report:
    """Try laws on a case; a law that presupposes a broken one is not tried."""
    held: list[str] = []
    broken: dict[str, str] = {}
    skipped: dict[str, str] = {}
    errors: list[Exception] = []
    for law in laws:
        obstacle = next((name for name in law.after if name in broken), None)
        if obstacle is not None:
            skipped[law.name] = f"because {obstacle} is broken"
            continue
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "gradient at .* never changes")  # trees of the laws have integers
                law(case)
            held.append(law.name)
        except SkippedError as reason:
            skipped[law.name] = str(reason)
        except BrokenError as sentence:
            broken[law.name] = str(sentence) + (_REAL if "complex" in law.name else "")
        except Exception as error:  # whatever a stranger's transformation raises is a finding, not a crash
            broken[law.name] = f"it raised {first_line(error)}"
            if case.complex_leaves and "complex" in str(error):
                broken[law.name] += _REAL
            elif case.any_tree and isinstance(error, ValueError):
                broken[law.name] += " (if it is made for its own parameters only, say so: any_tree=False)"
            errors.append(error)
    return Report(_subject(case.tx), tuple(held), broken, skipped, tuple(errors))


_REAL = " (if it is for real leaves only, say so: complex_leaves=False)"


def _law(chosen: str | Law) -> Law:
    if isinstance(chosen, Law):
        return chosen
    if chosen not in LAWS:
        raise ValueError(f"there is no law {chosen!r}{suggestion(chosen, LAWS)}")
    return LAWS[chosen]


def _subject(tx: Any) -> str:
    if isinstance(tx, GradientTransformation):
        return repr(tx)
    init = next(iter(tx))
    return f"the pair of {init.__module__}.{init.__qualname__}" if hasattr(init, "__qualname__") else "the pair"
