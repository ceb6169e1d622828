"""Schedules, which are functions of the step and values, and their sums and products."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.errors import describe, finite
from gradtx.values.factory import Factory, LeafMarker
from gradtx.values.value import Value

P = ParamSpec("P")


class Schedule(Value):
    """A function of the step, stored as the call that made it: `constant_schedule(value=0.1)`.

    `schedule(step)` is the value for the update after `step` updates: the first update has step 0.
    """

    def __add__(self, other: Any) -> Schedule:
        return sum_schedules(self, other)

    def __mul__(self, other: Any) -> Schedule:
        return product_schedules(self, other)

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
        """The value for the update after `step` updates."""
        with jax.numpy_dtype_promotion("standard"):  # a step is an integer, a rate is not
            return (self._cache.get("function") or self._build())(step)

    def plot(self, steps: int | None = None, ax: Any = None, **line: Any) -> Any:
        """Draw the value at each step. Needs matplotlib: `pip install "gradtx[plots]"`.

        Args:
            steps: the number of steps. By default, until the value stays the same, or enough to see a pattern.
            ax: the matplotlib Axes; by default pyplot's current one.
            **line: arguments of `Axes.plot`, such as `color` and `label`.

        Returns: the Axes. The default label is the call, shortened to the width of the Axes. It is shown as the title,
            or in a legend if there are several lines.
        """
        from gradtx.plots.schedules import plot  # at call time: the only import against the order of the layers

        return plot(self, steps, ax, **line)

    def _build(self) -> Callable[[Any], Any]:
        function = self._factory.run_body(self._arguments)
        if not callable(function):
            raise TypeError(f"{self.name} must return a function of the step; it returned {function!r}")
        return function


def schedule(body: Callable[P, Callable[[Any], Any]]) -> Callable[P, Schedule]:
    """Turn a function that takes hyperparameters and returns `step -> value` into a factory of schedules.

    Parameters annotated `Hyper` become leaves of the value, for `jax.vmap` and derivatives. Each is a number or a
    scalar array. The others are static.

    Example:
        >>> from gradtx import Hyper
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
        value = Schedule._of(factory, arguments)
        value._cache["function"], value._cache["made"] = value._build(), True
        return value

    return factory.publish(make)


@schedule
def function_schedule(function: Callable[[Any], Any]):
    """A plain function `step -> value` as a schedule, to add or multiply it, or to draw it.

    A function that is given for a hyperparameter becomes a schedule by itself.
    """
    return function


def as_hyper(name: str, value: Any) -> Any:
    """A hyperparameter in one form: a Python float, a scalar array or a `Schedule`.

    Raises:
        TypeError: anything else. ValueError: an array that is not a scalar.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a number, an array or a schedule; got the bool {value!r}")
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "iuf":
        value = value[()]
    if isinstance(value, int | float | np.floating | np.integer):
        return float(value)  # ints too: 1 and 0.1 then share a trace
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if value.shape != ():
            raise ValueError(
                f"{name} must be a scalar; got an array of shape {tuple(value.shape)}; "
                f"to make one value for each entry, map the factory over them with jax.vmap"
            )
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
    hint = "; parameters go to tx.init(params)" if isinstance(value, Mapping | tuple | list) else ""
    if isinstance(value, str) and value.replace(".", "").replace("-", "").replace("e", "").isdigit():
        hint = " (a text; YAML reads 3e-3 as one: write 3.0e-3)"
    shown = value if isinstance(value, Value) else describe(value)
    raise TypeError(f"{name} must be a number, a scalar array or a schedule; got {shown}{hint}")


def is_schedule(value: Any) -> bool:
    """Whether this is a schedule."""
    return isinstance(value, Schedule)


def at_step(name: str, value: Schedule, step: Any, dtype: Any) -> jax.Array:
    """The value of a schedule as a scalar of this dtype, not weakly typed.

    Raises:
        TypeError: the schedule did not return a real number. ValueError: it did not return a scalar.
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
    # Outside jit the scalar is a copy, since the state that gets it may be donated.
    return array.astype(dtype) if isinstance(array, Tracer) else jnp.array(array, dtype)


Term = Annotated[Any, LeafMarker(as_hyper)]
"""A parameter of a schedule that takes a number, a scalar array or a schedule."""


def at(term: Any, step: Any) -> Any:
    """The value of a schedule at a step; a number unchanged."""
    return term(step) if is_schedule(term) else term


@schedule
def sum_schedules(*terms: Term):
    """The sum of schedules and numbers at each step, also written `a + b` and `a - b`.

    Args:
        *terms: schedules, functions of the step, finite numbers. Without terms the sum is 0.

    Example:
        >>> import gradtx
        >>> float((gradtx.linear_schedule(0.0, 1.0, transition_steps=4) + 0.5)(2))
        1.0
    """
    finite(**{f"terms[{i}]": term for i, term in enumerate(terms)})
    return lambda step: functools.reduce(operator.add, (at(term, step) for term in terms), 0.0)


@schedule
def product_schedules(*factors: Term):
    """The product of schedules and numbers at each step, also written `warmup * cosine`.

    Args:
        *factors: schedules, functions of the step, finite numbers. Without factors the product is 1.

    Example:
        >>> import gradtx
        >>> warmup, decay = gradtx.linear_schedule(0.0, 1.0, 10), gradtx.exponential_decay(0.5, 10, decay_rate=0.5)
        >>> [round(float((warmup * decay)(t)), 3) for t in (0, 5, 10, 20)]
        [0.0, 0.177, 0.25, 0.125]
    """
    finite(**{f"factors[{i}]": factor for i, factor in enumerate(factors)})
    return lambda step: functools.reduce(operator.mul, (at(factor, step) for factor in factors), 1.0)
