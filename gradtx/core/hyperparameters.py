"""Hyperparameters inside the state: put there by hand with `inject`, read with `hyperparameters`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.errors import describe, suggestion
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.schedule import as_number, at_step, is_schedule
from gradtx.core.transformation import GradientTransformation, HyperparametersState, Transformation, transformation
from gradtx.core.trees import path_name
from gradtx.core.values import Value


@transformation
def inject(inner: Transformation):
    """Keep every hyperparameter of a transformation in its state, where it can be read and changed while training.

    A value is changed with `set_hyperparameters(state, learning_rate=x)`, without a new trace. Hyperparameters that are
    schedules follow them: what is written over those is overwritten at each step. Those that are read once, when the
    state is made, stay out of it. Values in the state are not checked against a range.

    Args:
        inner: the transformation. The names are those of its arguments (`learning_rate`), and in a chain those of the
            member too (`adam/learning_rate`).

    State: `HyperparametersState` (count, hyperparameters, inner); the values are float scalars, float32 or as wide as
        the widest parameter.

    Raises: ValueError: a state with other names. What is under `inject` already is left to itself.
    Source: optax's `inject_hyperparams` wraps a factory; this wraps the value. There is no difference for schedules.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.inject(gradtx.sgd(0.1))
        >>> state = tx.init({"w": jnp.zeros(3)})
        >>> {name: round(float(x), 3) for name, x in gradtx.hyperparameters(state).items()}
        {'learning_rate': 0.1}
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(inner, is_leaf=lambda x: is_schedule(x) or _is_injected(x))
    leaves = {path_name(path): value for path, value in paths}
    once = set(_read_once(inner))
    given = {name: value for name, value in leaves.items() if not _is_injected(value) and name not in once}

    def holding(values: dict[str, jax.Array]) -> Any:
        return jax.tree.unflatten(structure, {**leaves, **values}.values())

    def at(count: jax.Array, held: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {k: at_step(k, given[k], count, v.dtype) if is_schedule(given[k]) else v for k, v in held.items()}

    def init(params):
        count, dtype = zero_count(), float_dtype(params)
        numbers = {k: jnp.zeros((), dtype) if is_schedule(v) else jnp.asarray(v, dtype) for k, v in given.items()}
        values = at(count, numbers)
        return HyperparametersState(count, values, holding(values).init(params))

    def update(updates, state, params=None, **extra):
        if state.hyperparameters.keys() != given.keys():
            raise ValueError(_difference(state.hyperparameters, given))
        # In the order of the transformation: a dict that has been through a tree comes back sorted.
        held = {k: jnp.asarray(state.hyperparameters[k]) for k in given}
        values = at(state.count, {k: v.astype(float_dtype(v)) for k, v in held.items()})  # never weak, never an integer
        updates, inner_state = holding(values).update(updates, state.inner, params, **extra)
        return updates, HyperparametersState(increment(state.count), values, inner_state)

    return init, update


def hyperparameters(state: Any) -> dict[str, Any]:
    """The hyperparameters that a state holds, by name, for logging: those with schedules, and all under `inject`.

    A name that stands at one place only is given as it is (`learning_rate`); where there are several, each is given
    with its place in the state (`adam/learning_rate`). The values are those of the last update; before the first
    update, those that it will use. The names are those of the pieces: the momentum of `sgd` is `decay` of
    `add_momentum`, unless `sgd` itself is under `inject`.
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"hyperparameters takes a state; of {state.name} itself, read the attributes or `arguments`")
    found = list(_held((), state))
    names = [name for _, name, _ in found]
    return {name if names.count(name) == 1 else path_name((*path, name)): value for path, name, value in found}


def set_hyperparameters(state: Any, values: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
    """A state of `inject` with some of its hyperparameters changed, in the types that they have: no new trace.

    Args:
        state: the state of an `inject`.
        values: name -> number or scalar array, for names with a slash: `{"adam/learning_rate": 0.1}`.
        **named: the same for plain names: `learning_rate=0.1`.

    Raises:
        TypeError: the state is not one of `inject`, or a value is no number; ValueError: an unknown name, no scalar.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.inject(gradtx.sgd(0.1)).init(jnp.zeros(2))
        >>> state = gradtx.set_hyperparameters(state, learning_rate=0.5)
        >>> print(state.hyperparameters["learning_rate"])
        0.5
    """
    if not isinstance(state, HyperparametersState):
        raise TypeError(f"set_hyperparameters takes the state of an inject(...); got {describe(state)}")
    held = state.hyperparameters
    new = {**(values or {}), **named}
    for name in new:
        if name not in held:
            raise ValueError(f"there is no hyperparameter {name!r}{suggestion(name, held)}; there is {', '.join(held)}")
    changed = {name: jnp.asarray(as_number(name, value)).astype(held[name].dtype) for name, value in new.items()}
    return state._replace(hyperparameters={**held, **changed})


def _difference(held: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    for name in held:
        if name not in given:
            return f"the state has {name!r}, which is no hyperparameter here{suggestion(name, given)}"
    return f"the state lacks the hyperparameter {next(name for name in given if name not in held)!r}"


def _read_once(value: Value, place: tuple = ()) -> Iterator[str]:
    """The names, as in `inject`, of the hyperparameters that are used at init and no more."""
    markers = value._factory.leaves
    for path, child in jax.tree_util.tree_flatten_with_path(value, is_leaf=lambda x: x is not value)[0]:
        marker = markers.get(path[0].name)
        if marker is not None and marker.coerce is as_number:
            yield path_name((*place, *path))
        elif isinstance(child, GradientTransformation):
            yield from _read_once(child, (*place, *path))


def _is_injected(value: Any) -> bool:
    return isinstance(value, GradientTransformation) and value._factory.public is inject


def _held(path: tuple, state: Any) -> Iterator[tuple[tuple, str, Any]]:
    entries = jax.tree_util.tree_flatten_with_path(state, is_leaf=lambda x: isinstance(x, HyperparametersState))[0]
    for inner_path, node in entries:
        if isinstance(node, HyperparametersState):
            yield from (((*path, *inner_path), name, value) for name, value in node.hyperparameters.items())
            yield from _held((*path, *inner_path), node.inner)
