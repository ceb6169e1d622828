"""What the docstrings say of a hyperparameter and of a field of a state, so that the page says the same."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection
from typing import Any

_MENTION = re.compile(r"`(?:(\w+)` of `)?(\w+)`")
_KIND = re.compile(r"^(?:like params|int32 scalar|float scalar)(?:(?:, real)?(?:, float32 or wider)?: |, )")


def of_argument(factory: Callable, name: str) -> str:
    """What the docstring says of an argument; what another one says where it sends there: "as in `scale_by_adam`".

    Args:
        factory: of a transformation.
        name: of its argument.
    """
    arguments = inspect.signature(factory).parameters
    text = _entries(_section(inspect.getdoc(factory) or "", "Args"), arguments).get(name, "")
    for other_name, mentioned in _MENTION.findall(text):
        other = named(mentioned)
        if other is not None and (other_name or name) in inspect.signature(other).parameters:
            return of_argument(other, other_name or name)
    return text.replace("`", "").rstrip(".")


def of_field(state: type, name: str, factory: Callable | None = None) -> str:
    """What is said of a field of a state, without its type: by the transformation that keeps it, else by its class.

    Args:
        state: the class, a NamedTuple.
        name: of the field.
        factory: of the transformation; a class may be that of several.
    """
    own = re.search(rf"\b{name}, [^;:]*: ([^;]+)", _section(inspect.getdoc(factory) or "", "State"))
    if own:
        return own.group(1)
    fields: Collection[str] = getattr(state, "_fields", ())
    text = _entries(" ".join((inspect.getdoc(state) or "").split()), fields).get(name, "")
    for _, mentioned in _MENTION.findall(text):
        other = named(mentioned)
        if other is not None and name in getattr(other, "_fields", ()):
            return of_field(other, name)
    return _KIND.sub("", text.split(". ")[0]).replace("`", "").rstrip(".")


def named(name: str) -> Any:
    """A transformation, or the class of a state, by its name; None where there is none."""
    modules = [module for key, module in sys.modules.items() if key.startswith("gradtx.") and module is not None]
    found = next((vars(module)[name] for module in modules if name in vars(module)), None)
    return found if callable(found) else None


def _section(text: str, heading: str) -> str:
    """The lines under a heading of a docstring, as one."""
    found = re.search(rf"^{heading}:((?: .*)?(?:\n(?: +.*|$))*)", text, re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""


def _entries(text: str, names: Collection[str]) -> dict[str, str]:
    """`"a, b: of both. c: of this."` as a dict; an entry begins where known names stand before a colon."""
    heads = [
        (match.start(), match.end(), match.group(1).split(", "))
        for match in re.finditer(r"(?:(?<=^)|(?<=[.)] ))((?:\w+)(?:, \w+)*): ", text)
        if all(name in names for name in match.group(1).split(", "))
    ]
    ends = [start for start, _, _ in heads[1:]] + [len(text)]
    return {name: text[begin:end].strip() for (_, begin, keys), end in zip(heads, ends, strict=True) for name in keys}
