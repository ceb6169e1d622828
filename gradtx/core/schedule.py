"""Schedules: functions of the step that are values, and `Hyper`, the annotation of everything that can be one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.errors import concrete
from gradtx.core.factory import Factory, Leaves
from gradtx.core.values import Value

P = ParamSpec("P")


class Schedule(Value):
    """A function of the step, kept as the call that made it: `constant_schedule(value=0.1)`.

    `schedule(step)` is its value, where `step` counts the updates already done: the first update sees step 0.
    """

    __slots__ = ()

    def __add__(self, other: Any) -> Schedule:
        return _combined("sum_schedules", self, other)

    def __mul__(self, other: Any) -> Schedule:
        return _combined("product_schedules", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Schedule:
        return -1.0 * self

    def __sub__(self, other: Any) -> Schedule:
        return self + -other

    def __rsub__(self, other: Any) -> Schedule:
        return other + -self

    def __truediv__(self, other: Any) -> Schedule:
        return NotImplemented if isinstance(other, Schedule) else self * (1.0 / other)

    def __call__(self, step: Any) -> Any:
        """The value for the update that follows `step` updates."""
        with jax.numpy_dtype_promotion("standard"):  # a step is an integer, a rate is not
            return (self._cache.get("function") or self._build())(step)

    def plot(self, steps: int | None = None, ax: Any = None, **line: Any) -> Any:
        """Draw the value at each step; `pip install "gradtx[plots]"` brings matplotlib.

        Args:
            steps: how many; None, the default: until the value stays the same, or enough to see how it goes on.
            ax: the matplotlib Axes to draw in; None, the default: pyplot's current one.
            **line: for `Axes.plot`: `color`, `label`.

        Returns: the Axes. Without a label of yours the line has the call as its label, cut to the width of the Axes: in
            the title, or in a legend where there are several lines.
        """
        return importlib.import_module("gradtx.plots.schedules").plot(self, steps, ax, **line)

    def _build(self) -> Callable[[Any], Any]:
        try:
            args, kwargs = self._factory.spread(self._arguments)
            function = self._factory.body(*args, **kwargs)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if not callable(function):
            raise TypeError(f"{self.name} must return a function of the step; it returned {function!r}")
        return function


def _combined(how: str, *terms: Any) -> Schedule:
    from gradtx.core import combine  # which stands on this file

    return getattr(combine, how)(*terms)


def schedule(body: Callable[P, Callable[[Any], Any]]) -> Callable[P, Schedule]:
    """Make the factory of a schedule from a function that takes hyperparameters and returns `step -> value`.

    Parameters annotated `Hyper` become leaves of the value, so that they can be swept with `jax.vmap` and
    differentiated; each is a number or a scalar array. The others are static.

    Example:
        >>> @schedule
        ... def halving(init_value: Hyper, every: Hyper):
        ...     return lambda step: init_value * 0.5 ** (step // every)
        >>> halving(0.1, every=10)
        halving(init_value=0.1, every=10.0)
        >>> float(halving(0.5, every=10)(25))
        0.125
    """
    factory = Factory(body)

    def make(arguments: dict[str, Any]) -> Schedule:
        for name, marker in factory.leaves.items():
            if marker.follows and isinstance(arguments[name], Schedule):
                raise TypeError(f"{factory.name}: {name} must be a number; got the schedule {arguments[name]!r}")
        value = Schedule(factory, arguments)
        value._cache["function"] = value._build()
        return value

    return factory.publish(make)


@schedule
def function_schedule(function: Callable[[Any], Any]):
    """A plain function of the step as a schedule; bare functions given for a hyperparameter are wrapped in this."""
    return function


def as_hyper(name: str, value: Any) -> Any:
    """One form for what stands for a hyperparameter: a Python float, a scalar array, or a `Schedule`.

    Raises:
        TypeError: for anything else; ValueError: for an array that is not a scalar.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a number, an array or a schedule; got the bool {value!r}")
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if isinstance(value, int | float | np.floating | np.integer):
        return float(value)  # ints too: 1 and 0.1 are then one type, and one trace
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape != ():
            shape = tuple(value.shape)
            hint = "to make one value for each entry, map the factory over them with jax.vmap"
            raise ValueError(f"{name} must be a scalar; got an array of shape {shape}; {hint}")
        if jnp.issubdtype(value.dtype, jnp.integer):
            return jnp.asarray(value, jnp.float32)
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise TypeError(f"{name} must be real; got an array of type {value.dtype}")
        return value
    if callable(value) and hasattr(value, "factory"):
        call = f"{getattr(value, '__name__', value)}(...)"
        raise TypeError(f"{name} must be a number or a schedule; did you forget to call it: {call}?")
    if callable(value) and not isinstance(value, type):
        return function_schedule(value)
    raise TypeError(f"{name} must be a number, a scalar array or a schedule; got {value!r}")


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


def is_schedule(value: Any) -> bool:
    """Whether this is a schedule; the `is_leaf` for walking hyperparameters."""
    return isinstance(value, Schedule)


def at_step(name: str, value: Schedule, step: Any, dtype: Any) -> jax.Array:
    """A schedule's value as a strong scalar of this dtype.

    Raises:
        TypeError: where the schedule returned something that is not a real number; ValueError: not a scalar.
    """
    try:
        got = value(step)
    except Exception as error:
        error.add_note(
            f"This is the schedule for {name}, {value!r}, called with the step, which jit traces: use jnp.where"
        )
        raise
    try:
        array = jnp.asarray(got)
    except (TypeError, ValueError):
        raise TypeError(f"the schedule for {name} must return a number; {value!r} returned {got!r}") from None
    if array.shape != ():
        raise ValueError(f"the schedule for {name} must return a scalar; {value!r} returned shape {array.shape}")
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"the schedule for {name} must return a real number; {value!r} returned {array.dtype}")
    return array.astype(dtype) if isinstance(array, Tracer) else jnp.array(array, dtype)  # a copy, which may be donated


Hyper = Annotated[Any, Leaves(as_hyper, follows=True)]
"""A hyperparameter: a number, a scalar array, a schedule, or a function of the step. It is a leaf of the value."""

Number = Annotated[Any, Leaves(as_number)]
"""A hyperparameter that is read once, when the state is made: a number or a scalar array. It is a leaf of the value."""

Count = Annotated[Any, Leaves(as_count, whole=True)]
"""A whole number, of steps for example. It is a leaf of the value."""

Steps = Annotated[Any, Leaves(as_steps, whole=True)]
"""A whole number or a schedule of whole numbers, whose steps are counted by the transformation that takes it."""
