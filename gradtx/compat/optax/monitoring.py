"""Measurements of the updates in a chain, under optax's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.compat.optax.pieces import ema
from gradtx.compat.optax.protocol import as_optax, with_protocol
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import foreign
from gradtx.core.trees import is_trained

__all__ = ["MonitorState", "SnapshotState", "measure_with_ema", "monitor", "snapshot"]


class SnapshotState(NamedTuple):
    """The state of `snapshot`: name -> the last measurement."""

    measurement: dict[str, Any]


class MonitorState(NamedTuple):
    """The state of `monitor`: name -> the last measurement; and the states of those that have one."""

    measurements: dict[str, Any]
    measure_states: tuple[Any, ...]


def snapshot(measure_name: str, measure: Callable[[Any], Any]) -> GradientTransformation:
    """Keep a measurement of the updates in the state; they pass unchanged."""

    def init(params):
        return SnapshotState({measure_name: measure(params)})

    def update(updates, state, params=None):
        return updates, SnapshotState({measure_name: measure(updates)})

    return with_protocol(foreign(init, update))


class _Measured(NamedTuple):
    """A measurement with a memory: `init(params) -> state` and `update(updates, state) -> (measurement, state)`."""

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


def measure_with_ema(
    measure: Callable[[Any], Any], decay: Any, debias: bool = True, accumulator_dtype: Any = None
) -> Any:
    """A measurement and its running mean, for `monitor`."""
    mean = ema(decay, debias, accumulator_dtype)

    def number(tree):
        return jax.tree.map(lambda x: x if is_trained(x) else jnp.asarray(x, jnp.float32), measure(tree))

    def update(updates, state, params=None, **extra):
        return mean.update(number(updates), state)

    return _Measured(lambda params: mean.init(number(params)), update)


def monitor(measures: dict[str, Any]) -> GradientTransformation:
    """Keep several measurements in the state; a measurement is a function, or has a memory as `measure_with_ema`."""

    def plain(function: Callable) -> _Measured:
        return _Measured(lambda params: (), lambda updates, state, params=None, **extra: (function(updates), ()))

    def measured(name: str, measure: Any) -> Any:
        if isinstance(measure, _Measured):
            return measure
        return plain(measure) if callable(measure) else as_optax(name, measure)

    parts = {name: measured(name, measure) for name, measure in measures.items()}

    def init(params):
        return MonitorState({}, tuple(part.init(params) for part in parts.values()))

    def update(updates, state, params=None, **extra):
        results = [
            part.update(updates, old, params, **extra)
            for part, old in zip(parts.values(), state.measure_states, strict=True)
        ]
        values = dict(zip(parts, (value for value, _ in results), strict=True))
        return updates, MonitorState(values, tuple(new for _, new in results))

    return with_protocol(foreign(init, update))
