"""Checks of hyperparameters, and parts of error messages."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

_ELSEWHERE = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2", "epsilon": "eps", "alpha": "decay", "rho": "decay"}
_ELSEWHERE |= dict.fromkeys(("clip_grad_norm", "clip_grad_norm_"), "clip_by_global_norm")

INSTEAD: dict[str, str] = {}
"""An argument of other libraries -> what gradtx has instead, for errors; whoever has it adds it."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`' (did you mean 'decay'?)'` if a known word is similar, or has this name in another library; else nothing."""

    def nearness(x: str) -> float:  # typing errors seldom change the length
        return difflib.SequenceMatcher(None, word, x).ratio() - 0.05 * abs(len(x) - len(word))

    known = list(known)
    elsewhere = _ELSEWHERE.get(word, word.lower())
    near = elsewhere if elsewhere in known else max(difflib.get_close_matches(word, known), key=nearness, default=None)
    return f" (did you mean {near!r}?)" if near else ""


def describe(value: Any) -> str:
    """A short description of an unexpected value."""
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    return (
        repr(value)
        if isinstance(value, str | int | float | complex | None)
        else f"something of type {type(value).__name__}"
    )


traced_check: ContextVar[Callable[[Any, list], None] | None] = ContextVar("traced_check", default=None)
"""What checks of traced numbers do, `(whether it holds, parts of the message)`; nothing by default."""


@contextlib.contextmanager
def says(before: str, after: Callable[[str], list] = lambda text: []) -> Iterator[None]:
    """Extend the messages of the checks inside: `before`, the message, and the parts that `after(message)` returns."""
    outside = traced_check.get()

    def extended(holds: Any, parts: list) -> None:
        text = "".join(x for x in parts if isinstance(x, str))
        outside(holds, [before, *parts, *after(text)])  # type: ignore[misc]

    token = traced_check.set(outside and extended)
    try:
        yield
    except ValueError as error:
        raise ValueError("".join(map(str, [before, error, *after(str(error))]))) from None
    finally:
        traced_check.reset(token)


def require(holds: Any, *parts: Any) -> None:
    """Raise ValueError with these parts of a message if a condition is false; a traced one is for `traced_check`."""
    if traced_check.get() is not None and not isinstance(unbatched(holds), Tracer):  # in a vmap outside jit
        holds, parts = unbatched(holds), tuple(map(unbatched, parts))
    if isinstance(holds, Tracer):
        check = traced_check.get()
        if check is not None:
            check(holds, list(parts))
    elif traced_check.get() is not None and getattr(holds, "ndim", 0):
        require(bool(np.all(holds)), *parts)
    elif not holds:
        raise ValueError("".join(map(str, parts)))


def _checked(value: Any) -> Any:
    """The value as a number, or a tracer if `traced_check` is set; None if it cannot be checked."""
    if isinstance(value, Tracer):
        return value if traced_check.get() is not None else None
    return concrete(value)


def range_check(words: str, holds: Callable[[Any], Any]) -> Callable[..., None]:
    """A check that raises ValueError unless every keyword argument, if it is a number, lies in a range.

    holds: also for arrays, so with `&` instead of `and`.
    """

    def check(**values: Any) -> None:
        for name, value in values.items():
            number = _checked(value)
            if number is not None:
                require(holds(number), f"{name} must be {words}; got ", number)

    return check


in_unit_interval = range_check("in [0, 1]", lambda x: (x >= 0.0) & (x <= 1.0))
below_one = range_check("in [0, 1)", lambda x: (x >= 0.0) & (x < 1.0))
at_least_one = range_check("finite and at least 1", lambda x: (x >= 1.0) & (x < math.inf))
not_below_one = range_check("at least 1", lambda x: x >= 1.0)  # also infinity
non_negative = range_check("finite and at least 0", lambda x: (x >= 0.0) & (x < math.inf))
not_below_zero = range_check("at least 0", lambda x: x >= 0.0)  # also infinity
positive = range_check("greater than 0", lambda x: x > 0.0)  # also infinity
finite = range_check("finite", lambda x: abs(x) < math.inf)


def ordered(**values: Any) -> None:
    """Raise ValueError unless no number is greater than the next one, in the order in which they are given."""
    known = [(name, number) for name, value in values.items() if (number := _checked(value)) is not None]
    for (low, x), (high, y) in itertools.pairwise(known):
        require(x <= y, f"{low} must not be greater than {high}; got ", x, " and ", y)


def whole(at_least: float = -math.inf, **values: Any) -> None:
    """Raise TypeError unless each value is an integer, and ValueError if one is less than `at_least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be a whole number; got {value!r}")
        if value < at_least:
            raise ValueError(f"{name} must be at least {at_least}; got {value}")


def fixed(**values: Any) -> None:
    """Raise TypeError unless each value is a plain number: an argument that cannot follow a schedule, or be traced."""
    for name, x in values.items():
        if not isinstance(x, int | float | np.number):
            raise TypeError(f"{name} must be a number, since it cannot change between steps; got {describe(x)}")


def one_of(options: tuple[str, ...], **values: str) -> None:
    """Raise ValueError unless each value is one of the options."""
    for name, value in values.items():
        if value not in options:
            near = suggestion(value, options) if isinstance(value, str) else ""
            raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}{near}")


def unbatched(x: Any) -> Any:
    """The concrete array that an eager vmap or grad works on; what is traced into a program stays a tracer."""
    inside = x
    while isinstance(inside, Tracer):
        inside = getattr(inside, "val", getattr(inside, "primal", None))
        if not isinstance(inside, jax.Array | np.ndarray | np.generic | float | complex):
            return x
    return inside


def concrete(value: Any) -> float | None:
    """The value as a number; None if it is not known yet (a tracer, a schedule) or absent."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Tracer) or not hasattr(value, "dtype") or getattr(value, "shape", None) != ():
        return None
    return None if isinstance(value, jax.ShapeDtypeStruct) else float(value)
