"""Hyperparameters moved into the state, where they can be read and changed while training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.leaves import float_dtype
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import no_hyperparams
from gradtx.core.traits import Closures
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import path_name
from gradtx.errors import suggestion


class InjectState(NamedTuple):
    """The state of `inject`.

    hyperparameters: name -> the value that the next update uses, float scalar; the numbers of `inner` at init.
    inner: the inner transformation's state.
    """

    hyperparameters: dict[str, jax.Array]
    inner: Any

    @property
    def hyperparams(self) -> Any:
        """optax's name, for which the AttributeError says what is here."""
        raise no_hyperparams(self)


@transformation(any_leaves=True, sparse_rows=True)
def inject(inner: Transformation):
    """Keep every hyperparameter of a transformation in its state, to read and change it while training.

    `set_hyperparameters(state, learning_rate=x)` changes a value without a new trace. Schedules stay in the
    transformation, with their own counts; `hyperparameters(state)` reads both. Numbers that only `init` uses, and whole
    numbers of steps, are not in the state. Under jit the values are checked against their ranges inside `debug_checks`
    only.

    Args:
        inner: the transformation. The names are those of its arguments (`learning_rate`), in a chain with the name of
            the member in front (`adam/learning_rate`).

    State: `InjectState`; the values are float32, or as wide as the widest parameter.
    Raises: ValueError: the state has other names.
    Source: optax's `inject_hyperparams`, which wraps a factory and also moves schedules. This wraps the value; an
        `inject` inside keeps its own hyperparameters.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.inject(gradtx.sgd(0.1))
        >>> state = tx.init({"w": jnp.zeros(3)})
        >>> {name: round(float(x), 3) for name, x in gradtx.hyperparameters(state).items()}
        {'learning_rate': 0.1}
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(inner, is_leaf=lambda x: is_schedule(x) or _is_injected(x))
    leaves = {path_name(path): value for path, value in paths}
    left_out = set(_left_out(inner))
    given = {k: v for k, v in leaves.items() if not (_is_injected(v) or is_schedule(v) or k in left_out)}

    def holding(values: dict[str, jax.Array]) -> Any:
        return jax.tree.unflatten(structure, {**leaves, **values}.values())

    def init(params):
        dtype = float_dtype(params)
        values = {k: jnp.array(v, dtype) for k, v in given.items()}  # copies, which may be donated
        return InjectState(values, holding(values).init(params))

    def values_in(state):
        if state.hyperparameters.keys() != given.keys():
            raise ValueError(_difference(state.hyperparameters, given))
        # In the order of the transformation: a dict that has been through a tree comes back sorted.
        held = {k: jnp.asarray(state.hyperparameters[k]) for k in given}
        return {k: v.astype(float_dtype(v)) for k, v in held.items()}  # never weak, never an integer

    def update(updates, state, params=None, **extra):
        values = values_in(state)
        updates, inner_state = holding(values).update(updates, state.inner, params, **extra)
        return updates, InjectState(values, inner_state)

    return Closures(init, update, passes=lambda state: (holding(values_in(state)), state.inner))


def _difference(held: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    for name in held:
        if name not in given:
            return f"the state has {name!r}, which is not a hyperparameter here{suggestion(name, given)}"
    return f"the state lacks the hyperparameter {next(name for name in given if name not in held)!r}"


def _left_out(value: GradientTransformation, place: tuple = ()) -> Iterator[str]:
    """The names, as in `inject`, of the leaves that are no `Hyper`: used at init only, or not as real numbers."""
    for name, child in value.children.items():
        here = (*place, jax.tree_util.GetAttrKey(name))
        if isinstance(child, GradientTransformation):
            yield from _left_out(child, here)
        elif name not in value.hypers:
            yield path_name(here)


def _is_injected(value: Any) -> bool:
    return isinstance(value, GradientTransformation) and value.made_by is inject
