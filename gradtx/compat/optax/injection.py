"""`inject_hyperparams`: the numbers of a factory in the state, under optax's names."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.compat.optax.protocol import as_optax, with_protocol
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import foreign

__all__ = [
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "StatefulSchedule",
    "WrappedSchedule",
    "inject_hyperparams",
    "inject_stateful_hyperparams",
]


class InjectStatefulHyperparamsState(NamedTuple):
    """The state of `inject_hyperparams`: set a number with `state.hyperparams["learning_rate"] = x`."""

    count: jax.Array
    hyperparams: dict[str, Any]
    hyperparams_states: dict[str, Any]
    inner_state: Any


class InjectHyperparamsState(NamedTuple):
    """An older state of optax; nothing here makes one."""

    count: jax.Array
    hyperparams: dict[str, Any]
    inner_state: Any


class StatefulSchedule:
    """A schedule with a state of its own: `init()`, `update(state, **extra)`, and the value `self(state, **extra)`."""

    def init(self) -> Any:
        """The state before the first step."""
        raise TypeError(f"{type(self).__name__} must define init")

    def update(self, state: Any, **extra_args: Any) -> Any:
        """The next state."""
        raise TypeError(f"{type(self).__name__} must define update")

    def __call__(self, state: Any, **extra_args: Any) -> Any:
        """The value."""
        raise TypeError(f"{type(self).__name__} must define __call__")


class WrappedScheduleState(NamedTuple):
    """The state of a `WrappedSchedule`."""

    count: jax.Array


class WrappedSchedule(StatefulSchedule):
    """A function of the step as a `StatefulSchedule`."""

    def __init__(self, schedule_fn: Callable[[Any], Any]):
        self.schedule_fn = schedule_fn

    def init(self) -> WrappedScheduleState:
        """Step 0."""
        return WrappedScheduleState(zero_count())

    def update(self, state: WrappedScheduleState, **extra_args: Any) -> WrappedScheduleState:
        """The next step."""
        return WrappedScheduleState(increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Any:
        """The value at this step."""
        return self.schedule_fn(state.count)


def inject_hyperparams(
    inner_factory: Callable[..., Any], static_args: str | Iterable[str] = (), hyperparam_dtype: Any = None
) -> Callable[..., GradientTransformation]:
    """Make a factory whose transformations keep their numbers in the state, where they can be read and set.

    `gradtx.inject` does this for a transformation that is already made. Floating point numbers are float32, or as wide
    as the widest parameter, unless `hyperparam_dtype` is given.
    """
    static = {static_args} if isinstance(static_args, str) else set(static_args)
    signature = inspect.signature(inner_factory)
    unknown = sorted(static - set(signature.parameters))
    if unknown:
        known = ", ".join(signature.parameters)
        raise ValueError(f"static_args has {unknown[0]!r}, which is not a parameter of the factory; it has {known}")

    @functools.wraps(inner_factory)
    def made(*args: Any, **kwargs: Any) -> GradientTransformation:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        schedules: dict[str, Any] = {}
        numbers: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if name in static or isinstance(value, bool):
                others[name] = value
            elif isinstance(value, StatefulSchedule):
                schedules[name] = value
            elif callable(value):
                schedules[name] = WrappedSchedule(value)
            elif isinstance(value, int | float | np.ndarray) or _is_number(value):
                numbers[name] = value
            else:
                others[name] = value

        def inner(values: dict[str, Any]) -> GradientTransformation:
            return as_optax("the factory's result", inner_factory(**others, **values))

        def init(params):
            dtype = hyperparam_dtype or float_dtype(params)
            states = {name: schedule.init() for name, schedule in schedules.items()}
            values = {name: _at_width(value, dtype) for name, value in numbers.items()}
            values |= {name: _at_width(schedule(states[name]), dtype) for name, schedule in schedules.items()}
            values = {name: jnp.array(value) for name, value in values.items()}  # copies, which may be donated
            return InjectStatefulHyperparamsState(zero_count(), values, states, inner(values).init(params))

        def update(updates, state, params=None, **extra):
            dtype = hyperparam_dtype or float_dtype(params if params is not None else updates)
            values = {name: _at_width(value, dtype) for name, value in state.hyperparams.items()}
            states = {}
            for name, schedule in schedules.items():
                values[name] = _at_width(schedule(state.hyperparams_states[name], **extra), dtype)
                states[name] = schedule.update(state.hyperparams_states[name], **extra)
            updates, inner_state = inner(values).update(updates, state.inner_state, params, **extra)
            return updates, InjectStatefulHyperparamsState(increment(state.count), values, states, inner_state)

        return with_protocol(foreign(init, update))

    return made


def inject_stateful_hyperparams(
    inner_factory: Callable[..., Any], static_args: str | Iterable[str] = (), hyperparam_dtype: Any = None
) -> Callable[..., GradientTransformation]:
    """`inject_hyperparams`; optax calls this name deprecated."""
    warnings.warn("inject_stateful_hyperparams is deprecated, use inject_hyperparams instead", DeprecationWarning, 2)
    return inject_hyperparams(inner_factory, static_args, hyperparam_dtype)


def _is_number(value: Any) -> bool:
    return isinstance(value, jax.Array) and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _at_width(value: Any, dtype: Any) -> jax.Array:
    """A number as an array; a weak or a Python one in this dtype."""
    if isinstance(value, jax.Array) and not value.weak_type:
        return value
    given = getattr(value, "dtype", None)
    is_float = isinstance(value, float) if given is None else jnp.issubdtype(given, jnp.floating)
    return jnp.asarray(value, dtype) if is_float else jnp.asarray(value)
