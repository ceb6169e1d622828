"""Errors for calls as in torch, where the parameters or the optimizer come first."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from gradtx.core.errors import describe, suggestion
from gradtx.core.pair import GradientTransformation

P = ParamSpec("P")
R = TypeVar("R")

_MOMENTUM = ": no scheduler here changes the momentum; give momentum= a schedule of its own"
_REASONS = dict.fromkeys(("cycle_momentum", "base_momentum", "max_momentum"), _MOMENTUM) | {
    "last_epoch": ": a schedule has no state, it follows the count of updates",
    "params": ": the parameters go to tx.init(params)",
    "optimizer": ": the optimizer is given the schedule",
}


def in_torch_words(function: Callable[P, R]) -> Callable[P, R]:
    """The same function; calls with parameters, with an optimizer or with unknown words have an error with the way."""
    signature, name = inspect.signature(function), function.__name__
    takes_many = "schedulers" in signature.parameters

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        first: Any = args[0] if args else None
        if isinstance(first, GradientTransformation) or hasattr(first, "param_groups"):
            raise TypeError(f"{name} takes no optimizer: it is given to one, SGD(lr={name}(...))")
        if isinstance(first, Iterable) and not (takes_many or hasattr(first, "dtype")):
            raise TypeError(
                f"{name}: the parameters go to tx.init(params), and the learning rate comes first: {name}(lr=0.01); "
                f"got {describe(first)}"
            )
        for word in kwargs:
            if word not in signature.parameters:
                more = _REASONS.get(word) or suggestion(word, signature.parameters)
                raise TypeError(f"{name} has no argument {word!r}{more}")
        return function(*args, **kwargs)

    return called
