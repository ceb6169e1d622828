"""Hyperparameters inside the state: put there by hand with `inject`, read with `hyperparameters`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.errors import describe, suggestion
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import COUNT_MAX, increment, zero_count
from gradtx.core.schedule import as_number, is_schedule
from gradtx.core.transformation import GradientTransformation, HyperparametersState, Transformation, transformation
from gradtx.core.trees import path_name
from gradtx.core.values import opened


@transformation
def inject(inner: Transformation):
    """Keep every hyperparameter of a transformation in its state, where it can be read and changed while training.

    A value is changed with `set_hyperparameters(state, learning_rate=x)`, without a new trace. Schedules stay where
    they are, with their own counts, and `hyperparameters(state)` reads both. What is read once, when the state is made,
    stays out of the state, and so do whole numbers of steps. Values in it are not checked against a range.

    Args:
        inner: the transformation. The names are those of its arguments (`learning_rate`), and in a chain those of the
            member too (`adam/learning_rate`).

    State: `HyperparametersState` (count, hyperparameters, inner); the values are float scalars, float32 or as wide as
        the widest parameter.

    Raises: ValueError: a state with other names. What is under `inject` already is left to itself.
    Source: optax's `inject_hyperparams` wraps a factory; this wraps the value, and leaves schedules alone.

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
        values = {k: jnp.asarray(v, dtype) for k, v in given.items()}
        return HyperparametersState(zero_count(), values, holding(values).init(params))

    def update(updates, state, params=None, **extra):
        if state.hyperparameters.keys() != given.keys():
            raise ValueError(_difference(state.hyperparameters, given))
        # In the order of the transformation: a dict that has been through a tree comes back sorted.
        held = {k: jnp.asarray(state.hyperparameters[k]) for k in given}
        values = {k: v.astype(float_dtype(v)) for k, v in held.items()}  # never weak, never an integer
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
    """A state with some of its hyperparameters changed, in the types that they have: no new trace.

    Those under `inject`, wherever it is inside the state, keep the new value. One that follows a schedule takes the
    schedule's next value at the next update: `set_count` moves a schedule.

    Args:
        state: a state that holds hyperparameters.
        values: name -> number or scalar array, for names with a slash: `{"adam/learning_rate": 0.1}`. The names are
            those of `hyperparameters(state)`; the end of a name will do, where it is the end of one only.
        **named: the same for plain names: `learning_rate=0.1`.

    Raises:
        TypeError: a value is no number; ValueError: an unknown name, or the end of several; no scalar.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.inject(gradtx.sgd(0.1)).init(jnp.zeros(2))
        >>> state = gradtx.set_hyperparameters(state, learning_rate=0.5)
        >>> print(state.hyperparameters["learning_rate"])
        0.5
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"set_hyperparameters takes a state; of {state.name} itself, use replace(...)")
    whole = {path_name((*path, name)): name for path, name, _ in _held((), state)}
    new: dict[str, Any] = {}
    for name, value in {**(values or {}), **named}.items():
        fits = [n for n in whole if n == name] or [n for n in whole if n.endswith(f"/{name}")]
        if len(fits) != 1:
            near = f"; it is the end of {', '.join(fits)}" if fits else suggestion(name, [*whole, *whole.values()])
            raise ValueError(f"there is no hyperparameter {name!r}{near}; there is {', '.join(whole) or 'none'}")
        if is_schedule(value):
            raise TypeError(f"{name} in a state is a number: give the schedule {value!r} to the transformation")
        new[fits[0]] = jnp.asarray(as_number(name, value))

    def changed(path: tuple, node: HyperparametersState) -> HyperparametersState:
        here = {name: path_name((*path, name)) for name in node.hyperparameters}
        held = {k: new[here[k]].astype(x.dtype) if here[k] in new else x for k, x in node.hyperparameters.items()}
        return node._replace(hyperparameters=held)

    return _map_held(changed, state)


def set_count(state: Any, n: Any, *, names: Iterable[str] | None = None) -> Any:
    """A state whose schedules go on from step n: the next update sees their values there.

    So a schedule is restarted (n = 0) or moved when training is resumed. Everything else stays: averages, Adam's own
    count for its bias correction, what a wrapper counts. Until the next update the values that `hyperparameters` reads
    stay too: those of the last one, or of step 0. The schedules are not in the state, so their values at n are unknown.

    Args:
        state: any state, or tree of states, that has counts of schedules: a `HyperparametersState` somewhere in it.
        n: updates done, as far as schedules are concerned; a whole number from 0 to 2³¹ - 1, or an array of integers: a
            scalar, or of the shape of the counts where states are batched.
        names: only for these hyperparameters, with the names that `hyperparameters(state)` has: `["learning_rate"]`;
            all that one transformation has share a count. None, the default: for all.

    Raises:
        TypeError: n is not whole; ValueError: n is out of range or of another shape, or the state has no such count.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.sgd(gradtx.linear_schedule(1.0, 0.0, transition_steps=10))
        >>> updates, _ = tx.update(jnp.ones(1), gradtx.set_count(tx.init(jnp.ones(1)), 5))
        >>> print(updates)
        [-0.5]
    """
    whole = isinstance(n, int) or jnp.issubdtype(getattr(n, "dtype", float), jnp.integer)
    if not whole or isinstance(n, bool):
        raise TypeError(f"n must be a whole number, or an array of them; got {describe(n)}")
    if not isinstance(n, Tracer) and not (np.all(np.asarray(n) >= 0) and np.all(np.asarray(n) <= COUNT_MAX)):
        raise ValueError(f"n must be from 0 to 2**31 - 1; got {n}")
    count, wanted, found = jnp.asarray(n, jnp.int32), {names} if isinstance(names, str) else set(names or ()), set()

    def moved(path: tuple, node: HyperparametersState) -> HyperparametersState:
        shape = jnp.shape(node.count)
        here = {*node.hyperparameters, *(path_name((*path, name)) for name in node.hyperparameters)}
        found.update(here)
        if names is not None and wanted.isdisjoint(here):
            return node
        if count.shape not in ((), shape):
            raise ValueError(f"n must be a scalar, or of shape {shape} as the counts; got shape {count.shape}")
        return node._replace(count=jnp.broadcast_to(count, shape))

    changed = _map_held(moved, state)
    if not found:
        raise ValueError("this state has no count of schedules: no hyperparameter follows one")
    for name in sorted(wanted - found):
        raise ValueError(f"no count is of {name!r}{suggestion(name, found)}; there is {', '.join(sorted(found))}")
    return changed


def _difference(held: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    for name in held:
        if name not in given:
            return f"the state has {name!r}, which is no hyperparameter here{suggestion(name, given)}"
    return f"the state lacks the hyperparameter {next(name for name in given if name not in held)!r}"


def _left_out(value: GradientTransformation, place: tuple = ()) -> Iterator[str]:
    """The names, as in `inject`, of the leaves that are no `Hyper`: used at init only, or not as real numbers."""
    for name, owner, child in opened(value).children:
        here = (*place, jax.tree_util.GetAttrKey(name))
        if isinstance(child, GradientTransformation):
            yield from _left_out(child, here)
        elif not value._factory.leaves[owner].follows:
            yield path_name(here)


def _is_injected(value: Any) -> bool:
    return isinstance(value, GradientTransformation) and value._factory.public is inject


def _is_held(node: Any) -> bool:
    return isinstance(node, HyperparametersState)


def _held(path: tuple, state: Any) -> Iterator[tuple[tuple, str, Any]]:
    entries = jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_held)[0]
    for inner_path, node in entries:
        if _is_held(node):
            yield from (((*path, *inner_path), name, value) for name, value in node.hyperparameters.items())
            yield from _held((*path, *inner_path), node.inner)


def _map_held(change: Callable[[tuple, HyperparametersState], Any], state: Any, path: tuple = ()) -> Any:
    """The state with `change(path, node)` for each `HyperparametersState` in it, those inside others first."""

    def at(end: tuple, node: Any) -> Any:
        here = (*path, *end)
        return change(here, node._replace(inner=_map_held(change, node.inner, here))) if _is_held(node) else node

    return jax.tree_util.tree_map_with_path(at, state, is_leaf=_is_held)
