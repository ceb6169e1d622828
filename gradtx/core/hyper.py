"""Annotations of hyperparameters: which values a leaf of a transformation may have."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from gradtx.core.schedule import Schedule, as_hyper, function_schedule
from gradtx.errors import concrete
from gradtx.values.factory import LeafMarker


def as_number(name: str, value: Any) -> Any:
    """As `as_hyper`, for a number that only `init` reads: a schedule would have no effect later, so it is an error."""
    value = as_hyper(name, value)
    if isinstance(value, Schedule):
        raise TypeError(f"{name} is read once and cannot follow a schedule: give a number; got {value!r}")
    return value


def as_count(name: str, value: Any) -> Any:
    """A whole number as a Python float or a float32 scalar, so that `vmap` and `grad` accept it.

    Raises:
        TypeError: the value is something else, for example a schedule.
        ValueError: the value is an array but not a scalar.
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
    """As `as_count`, or a schedule or function of the step, which the transformation itself calls."""
    if isinstance(value, Schedule):
        return value
    if callable(value) and not isinstance(value, type) and not hasattr(value, "factory"):
        return function_schedule(value)
    return as_count(name, value)


Hyper = Annotated[Any, LeafMarker(as_hyper, follows=True)]
"""Annotates a hyperparameter, a leaf of the value: a number, a scalar array, a schedule, or a function of the step."""

Number = Annotated[Any, LeafMarker(as_number)]
"""Annotates a hyperparameter that only `init` reads, a leaf of the value: a number or a scalar array."""

Count = Annotated[Any, LeafMarker(as_count, whole=True)]
"""Annotates a whole number, for example of steps, a leaf of the value."""

Steps = Annotated[Any, LeafMarker(as_steps, whole=True)]
"""Annotates a whole number, or a schedule of whole numbers that sees the count of the transformation itself."""
