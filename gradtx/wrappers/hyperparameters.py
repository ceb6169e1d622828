"""Hyperparameters in a state: read, set, and the counts of schedules moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.errors import describe, suggestion
from gradtx.core.hyper import as_number
from gradtx.core.numerics import COUNT_MAX
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import HyperparametersState
from gradtx.core.trees import path_name
from gradtx.wrappers.inject import InjectState


def hyperparameters(state: Any) -> dict[str, Any]:
    """The hyperparameters that a state holds, by name, for logging: those with schedules, and all under `inject`.

    A name that stands at one place only is given as it is (`learning_rate`); where there are several, each is given
    with its place in the state (`adam/learning_rate`). The values are those of the last update; before the first
    update, those that it will use. The names are those of the pieces: the momentum of `sgd` is `decay` of
    `add_momentum`, unless `sgd` itself is under `inject`.
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"hyperparameters takes a state; of {state.name} itself, read the attributes or `arguments`")
    found = [(path, name, value) for path, node in _nodes(state) for name, value in node.hyperparameters.items()]
    names = [name for _, name, _ in found]
    return {name if names.count(name) == 1 else path_name((*path, name)): value for path, name, value in found}


def set_hyperparameters(state: Any, values: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
    """A state with some of its hyperparameters changed, in the types that they have: no new trace.

    They are those under `inject`, wherever it is inside the state. One that follows a schedule cannot be set: the next
    update would take the schedule's value; `set_count` moves a schedule.

    Args:
        state: a state that holds hyperparameters.
        values: name -> number or scalar array, for names with a slash: `{"adam/learning_rate": 0.1}`. The names are
            those of `hyperparameters(state)`; the end of a name will do, where it is the end of one only. In a batch of
            states all are given the value.
        **named: the same for plain names: `learning_rate=0.1`.

    Raises:
        TypeError: a value is no number; ValueError: an unknown name, the end of several, or one that follows a
        schedule; no scalar.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.inject(gradtx.sgd(0.1)).init(jnp.zeros(2))
        >>> state = gradtx.set_hyperparameters(state, learning_rate=0.5)
        >>> print(state.hyperparameters["learning_rate"])
        0.5
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"set_hyperparameters takes a state; of {state.name} itself, use replace(...)")
    whole = {path_name((*path, name)): (name, node) for path, node in _nodes(state) for name in node.hyperparameters}
    new: dict[str, Any] = {}
    for name, value in {**(values or {}), **named}.items():
        fits = [n for n in whole if n == name] or [n for n in whole if n.endswith(f"/{name}")]
        if len(fits) != 1:
            near = (
                f"; it is the end of {', '.join(fits)}"
                if fits
                else suggestion(name, [*whole, *(n for n, _ in whole.values())])
            )
            raise ValueError(f"there is no hyperparameter {name!r}{near}; there is {', '.join(whole) or 'none'}")
        if is_schedule(value):
            raise TypeError(f"{name} in a state is a number: give the schedule {value!r} to the transformation")
        if isinstance(whole[fits[0]][1], HyperparametersState):
            raise ValueError(f"{name} follows a schedule, whose value the next update would take: set_count moves it")
        new[fits[0]] = jnp.asarray(as_number(name, value))

    def changed(path: tuple, node: Any) -> Any:
        here = {name: path_name((*path, name)) for name in node.hyperparameters}
        held = node.hyperparameters.items()
        return node._replace(hyperparameters={k: _put(new[here[k]], x) if here[k] in new else x for k, x in held})

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
    if isinstance(state, GradientTransformation):
        raise TypeError(f"set_count takes a state; got the transformation {state.name}")
    whole = isinstance(n, int) or jnp.issubdtype(getattr(n, "dtype", float), jnp.integer)
    if not whole or isinstance(n, bool):
        raise TypeError(f"n must be a whole number, or an array of them; got {describe(n)}")
    if not isinstance(n, Tracer) and not (np.all(np.asarray(n) >= 0) and np.all(np.asarray(n) <= COUNT_MAX)):
        raise ValueError(f"n must be from 0 to 2**31 - 1; got {n}")
    count, wanted, found = jnp.asarray(n, jnp.int32), {names} if isinstance(names, str) else set(names or ()), set()

    def moved(path: tuple, node: Any) -> Any:
        if not isinstance(node, HyperparametersState):
            return node
        shape = jax.tree.leaves(node.count)[0].shape
        here = {*node.hyperparameters, *(path_name((*path, name)) for name in node.hyperparameters)}
        found.update(here)
        if names is not None and wanted.isdisjoint(here):
            return node
        if count.shape not in ((), shape):
            raise ValueError(f"n must be a scalar, or of shape {shape} as the counts; got shape {count.shape}")
        return node._replace(count=_put(count, node.count))

    changed = _map_held(moved, state)
    if not found:
        raise ValueError("this state has no count of schedules: no hyperparameter follows one")
    for name in sorted(wanted - found):
        raise ValueError(f"no count is of {name!r}{suggestion(name, found)}; there is {', '.join(sorted(found))}")
    return changed


def keep_hyperparameters(fresh: Any, old: Any) -> Any:
    """A new state with the hyperparameters of an old one: the counts of its schedules, and values set by hand."""

    def at(new: Any, node: Any) -> Any:
        return node._replace(inner=keep_hyperparameters(new.inner, node.inner)) if _is_held(new) else new

    return jax.tree.map(at, fresh, old, is_leaf=_is_held)


def _put(new: jax.Array, old: Any) -> Any:
    """A copy of the new value, which may be donated, in the type, shape and container of the old one (nnx has such)."""
    return jax.tree.map(lambda x: jnp.array(jnp.broadcast_to(new.astype(x.dtype), x.shape)), old)


def _is_held(node: Any) -> bool:
    return isinstance(node, HyperparametersState | InjectState)


def _nodes(state: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Every state that holds hyperparameters, with its path."""
    for inner_path, node in jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_held)[0]:
        if _is_held(node):
            yield (*path, *inner_path), node
            yield from _nodes(node.inner, (*path, *inner_path))


def _map_held(change: Callable[[tuple, Any], Any], state: Any, path: tuple = ()) -> Any:
    """The state with `change(path, node)` for each that holds hyperparameters, those inside others first."""

    def at(end: tuple, node: Any) -> Any:
        here = (*path, *end)
        return change(here, node._replace(inner=_map_held(change, node.inner, here))) if _is_held(node) else node

    return jax.tree_util.tree_map_with_path(at, state, is_leaf=_is_held)
