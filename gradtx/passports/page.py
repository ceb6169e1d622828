"""A passport as a page of text, and as Markdown: `p` is the `Passport`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from gradtx.text_table import aligned

WIDTH = 100
NO_DIGIT = 2.0**23  # ulp of float32: as large as the number itself
TRAITS = {
    "any_leaves": "nothing depends on how the parameters are divided into leaves",
    "sparse_rows": "a row without gradient may be left alone",
    "clips": "it only makes updates smaller, down to a bound",
    "whole_tree": "it looks at all leaves together, as a global norm does",
    "needs_matrices": "leaves of two axes are matrices to it",
    "takes_examples": "it takes the gradient of each example",
    "sets_params": "its updates land on parameters that it has chosen, so it is the last of a chain",
}
SIGNS = {-1: "updates point against the gradients", 1: "updates point along the gradients"}
Section = tuple[str, list[tuple[str, ...]]]


def text(p: Any) -> str:
    """The page: a title, the formulas, then a table for each kind of figures."""
    lines = [f"{p.name}: {p.kind}" + f", {p.year}" * bool(p.year), *_wrapped(p.summary), ""]
    for name, formula in p.formulas.items():
        lines += [f"{name}", textwrap.indent(formula, "    "), ""]
    if p.source:
        lines += ["Source", *_wrapped(p.source, "    "), ""]
    for title, rows in _sections(p):
        lines += [title, *(f"    {line}" for line in _table(rows)), ""]
    return "\n".join([*lines, *_wrapped(_made(p))])


def markdown(p: Any) -> str:
    """The same for a notebook."""
    lines = [f"### {p.name}", "", f"*{p.kind}" + f", {p.year}" * bool(p.year) + f".* {_safe(p.summary)}", ""]
    for name, formula in p.formulas.items():
        lines += [f"`{name}`", "", "```text", formula, "```", ""]
    if p.source:
        lines += [f"**Source.** {_safe(p.source)}", ""]
    for title, rows in _sections(p):
        width = max(map(len, rows))
        head, *body = rows if width > 2 else [("",) * width, *rows]
        cells = [head, ("---",) * width, *body]
        lines += [f"**{title}**", "", *("| " + " | ".join(map(_safe, row)) + " |" for row in cells), ""]
    return "\n".join([*lines, _safe(_made(p))])


def _sections(p: Any) -> Iterator[Section]:
    yield (
        "Measured",
        [("measured with", p.call), *_costs(p), *([("not measured", p.not_measured)] if p.not_measured else [])],
    )
    traits = [(name, TRAITS[name]) for name in p.traits] + [("sign", SIGNS[x]) for x in (p.sign,) if x in SIGNS]
    if traits:
        yield "Traits", traits
    if p.identities:
        yield "Limits: it does the same as", [(one, f"{other}, {_apart(x)}") for one, other, x in p.identities]
    agreed = [row for library in dict.fromkeys((*p.agreement, *p.differs)) for row in _with(p, library)]
    if agreed:
        yield "In other libraries: largest difference of the parameters over 100 steps", agreed
    if p.trials:
        yield "Trials", [(name, f"{number(p.trials[name])} ({about})") for name, about in p.trial_abouts.items()]
    if p.race:
        yield (
            "Race: best of its learning rates",
            [
                ("task", "steps to target", "at rate", "rank", "among", "least gap at the end", "fewest steps"),
                *((task, *_raced(how)) for task, how in p.race.items()),
            ],
        )


def _costs(p: Any) -> Iterator[tuple[str, str]]:
    if p.state_bytes:
        matrix = number(p.state_bytes["matrix"])
        vector = number(p.state_bytes.get("vector", p.state_bytes["matrix"]))
        yield "state", f"{vector} bytes for each parameter" + f" of a vector, {matrix} of a matrix" * (vector != matrix)
    if p.moved_bytes is not None and p.one_pass is not None:
        least = number(p.one_pass)
        yield (
            "a step",
            f"reads and writes {number(p.moved_bytes)} bytes for each parameter; in one pass it would be {least}",
        )
    if p.ulp:
        yield "error", _error(*p.ulp)


def _error(most: float, middle: float) -> str:
    if math.isnan(most):
        return "its updates overflow on the gradients on which errors are measured"
    largest = f"at most {number(most)} ulp" if most < NO_DIGIT else "in some entries no digit is right"
    return f"over 1,000 steps {largest}; the median is {number(middle)} ulp of float32"


def _with(p: Any, library: str) -> Iterator[tuple[str, str]]:
    for setting, (single, double) in p.agreement.get(library, {}).items():
        yield f"{library} {setting}".strip(), f"{number(single)} ulp in float32, {number(double)} ulp in float64"
    if library in p.differs:
        yield library, p.differs[library]


def _raced(how: Any) -> tuple[str, ...]:
    reached = ("not reached", "", "") if how.failed else (f"{how.steps:.0f}", number(how.at), str(how.place))
    more = ("...",) * (len(how.winners) > 3)
    return (*reached, str(how.of), number(how.score), ", ".join((*how.winners[:3], *more)))


def _apart(apart: float) -> str:
    return "to the bit" if apart == 0 else f"to {number(apart)} of the largest entry"


def _made(p: Any) -> str:
    return "Measured with " + ", ".join(f"{library} {version}" for library, version in p.versions.items()) + "."


def number(x: float) -> str:
    """A number in three digits."""
    if math.isnan(x):
        return "not a number"
    return "infinite" if math.isinf(x) else f"{x:.3g}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Two columns with the second one wrapped; more columns as they are."""
    if max(map(len, rows)) > 2:
        return aligned(rows, left=range(len(rows[0])))
    first = min(max(len(row[0]) for row in rows), 60)
    lines = []
    for name, value in rows:
        names = textwrap.wrap(name, first) or [""]
        values = textwrap.wrap(value, max(WIDTH - first - 6, 30)) or [""]
        count = max(len(names), len(values))
        for left, right in zip(names + [""] * (count - len(names)), values + [""] * (count - len(values)), strict=True):
            lines.append(f"{left:{first}}  {right}".rstrip())
    return lines


def _wrapped(paragraph: str, indent: str = "") -> list[str]:
    return textwrap.wrap(paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _safe(prose: str) -> str:
    """For Markdown, also for a cell of a table; what is in backquotes stays."""
    parts = prose.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)
