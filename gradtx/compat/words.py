"""Errors for calls as in another library, where the parameters or the optimizer come first."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from gradtx.core.pair import GradientTransformation
from gradtx.errors import describe, suggestion

P = ParamSpec("P")
R = TypeVar("R")
Words = Mapping[str, str]

COMMON = {
    "params": ": the parameters go to tx.init(params)",
    "optimizer": ": the optimizer is given the schedule",
}
SEVERAL = {"schedulers", "boundaries"}  # first arguments that are lists


def in_words(rate: str, reasons: Words) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: calls with parameters, with an optimizer or with unknown words have an error with the way.

    Args:
        rate: the word for the learning rate.
        reasons: word -> why it is not there.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            require_words(function.__name__, signature, rate, reasons, args, kwargs)
            return function(*args, **kwargs)

        return called

    return decorate


def require_words(
    name: str, signature: inspect.Signature, rate: str, reasons: Words, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Raise TypeError if a call begins with parameters or with an optimizer, or has an unknown word."""
    first: Any = args[0] if args else None
    if isinstance(first, GradientTransformation) or hasattr(first, "param_groups"):
        raise TypeError(f"{name} takes no optimizer: it is given to one, SGD({rate}={name}(...))")
    if isinstance(first, Iterable) and not (SEVERAL & signature.parameters.keys() or hasattr(first, "dtype")):
        raise TypeError(
            f"{name}: the parameters go to tx.init(params), and the learning rate comes first: {name}({rate}=0.01); "
            f"got {describe(first)}"
        )
    for word in kwargs:
        if word not in signature.parameters:
            more = reasons.get(word) or COMMON.get(word) or suggestion(word, signature.parameters)
            raise TypeError(f"{name} has no argument {word!r}{more}")
