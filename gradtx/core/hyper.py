"""Annotations of hyperparameters: what may stand for a parameter that is a leaf of the value."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from gradtx.core.errors import concrete
from gradtx.core.factory import LeafMarker
from gradtx.core.schedule import Schedule, as_hyper, function_schedule


def as_number(name: str, value: Any) -> Any:
    """As `as_hyper`, for what is read once, at init: a schedule there would do nothing after it, and is refused."""
    value = as_hyper(name, value)
    if isinstance(value, Schedule):
        raise TypeError(f"{name} is read once and cannot follow a schedule: give a number; got {value!r}")
    return value


def as_count(name: str, value: Any) -> Any:
    """A whole number, as a Python float or a float32 scalar: so it can be in a batch and stand beside derivatives.

    Raises:
        TypeError: for anything else, a schedule too; ValueError: for an array that is not a scalar.
    """
    if isinstance(value, Schedule) or (callable(value) and not hasattr(value, "dtype")):
        raise TypeError(f"{name} must be a whole number, and cannot follow a schedule; got {value!r}")
    if isinstance(value, bool | np.bool_ | str):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    number = as_hyper(name, value)
    known = concrete(number)
    if known is not None and not known.is_integer():
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    return number


def as_steps(name: str, value: Any) -> Any:
    """As `as_count`, or a schedule, or a function of the step: whoever counts the steps calls it."""
    if isinstance(value, Schedule):
        return value
    if callable(value) and not isinstance(value, type) and not hasattr(value, "factory"):
        return function_schedule(value)
    return as_count(name, value)


Hyper = Annotated[Any, LeafMarker(as_hyper, follows=True)]
"""A hyperparameter: a number, a scalar array, a schedule, or a function of the step. It is a leaf of the value."""

Number = Annotated[Any, LeafMarker(as_number)]
"""A hyperparameter that is read once, when the state is made: a number or a scalar array. It is a leaf of the value."""

Count = Annotated[Any, LeafMarker(as_count, whole=True)]
"""A whole number, of steps for example. It is a leaf of the value."""

Steps = Annotated[Any, LeafMarker(as_steps, whole=True)]
"""A whole number or a schedule of whole numbers, whose steps are counted by the transformation that takes it."""
