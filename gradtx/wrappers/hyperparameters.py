"""Hyperparameters in a state: reading and setting them, and moving the counts of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gradtx.core.hyper import as_number
from gradtx.core.numerics import COUNT_MAX
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import is_schedule
from gradtx.core.states import HyperparametersState
from gradtx.core.trees import path_name
from gradtx.errors import describe, suggestion
from gradtx.wrappers.inject import InjectState


def hyperparameters(state: Any) -> dict[str, Any]:
    """The hyperparameters in a state, by name, for logging: those that follow schedules, and all under `inject`.

    A name that occurs once is given as it is (`learning_rate`). One that occurs several times has its place in the
    state in front: `adam/learning_rate` in a chain; `matrices/scale_by_learning_rate/learning_rate` in `muon`, which
    has two branches. The values are those of the last update; before the first update, those it will use. The names are
    those of the pieces: the momentum of `sgd` is `decay` of `add_momentum`, unless `sgd` itself is under `inject`.
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"hyperparameters takes a state; for {state.name} itself, read its attributes or `arguments`")
    found = _by_place(state)
    names = [name for name, _ in found.values()]
    return {
        name if names.count(name) == 1 else place: node.hyperparameters[name] for place, (name, node) in found.items()
    }


def set_hyperparameters(state: Any, values: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
    """Change some of the hyperparameters in a state; they keep their types, so that nothing is traced again.

    Only hyperparameters under `inject` can be set, wherever they are in the state. One that follows a schedule cannot:
    the next update would overwrite it. `set_count` moves a schedule.

    Args:
        state: a state that holds hyperparameters.
        values: name -> number or scalar array, for names with a slash: `{"adam/learning_rate": 0.1}`. The names are
            those of `hyperparameters(state)`; the end of a name is enough if no other name ends so. In a batch of
            states all get the value.
        **named: the same for plain names: `learning_rate=0.1`.

    Returns: the new state.
    Raises:
        ValueError: a name is unknown, is the end of several, or follows a schedule; a value is not a scalar. TypeError:
            a value is not a number.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.inject(gradtx.sgd(0.1)).init(jnp.zeros(2))
        >>> state = gradtx.set_hyperparameters(state, learning_rate=0.5)
        >>> print(state.hyperparameters["learning_rate"])
        0.5
    """
    if isinstance(state, GradientTransformation):
        raise TypeError(f"set_hyperparameters takes a state; for {state.name} itself, use replace(...)")
    whole = _by_place(state)
    new: dict[str, Any] = {}
    for name, value in {**(values or {}), **named}.items():
        fits = [n for n in whole if n == name] or [n for n in whole if n.endswith(f"/{name}")]
        if len(fits) != 1:
            near = (
                f"; it is the end of {', '.join(fits)}"
                if fits
                else suggestion(name, [*whole, *(n for n, _ in whole.values())])
            )
            there = ", ".join(whole) or "none in this state: wrap the transformation in inject(...) to keep them there"
            raise ValueError(f"there is no hyperparameter {name!r}{near}; there is {there}")
        if is_schedule(value):
            raise TypeError(f"{name} in a state must be a number: give the schedule {value!r} to the transformation")
        if isinstance(whole[fits[0]][1], HyperparametersState):
            raise ValueError(f"{name} follows a schedule: the next update would overwrite it; set_count moves it")
        new[fits[0]] = jnp.asarray(as_number(name, value))

    def changed(path: tuple, node: Any) -> Any:
        here = {name: path_name((*path, name)) for name in node.hyperparameters}
        held = node.hyperparameters.items()
        return node._replace(hyperparameters={k: _put(new[here[k]], x) if here[k] in new else x for k, x in held})

    return _map_held(changed, state)


def set_count(state: Any, n: Any, *, names: Iterable[str] | None = None) -> Any:
    """Let the schedules of a state go on from step n: the next update uses their values there.

    This restarts a schedule (n = 0), or moves it when training is resumed. Everything else stays: averages, Adam's own
    count for its bias correction, counts of wrappers. Until the next update, `hyperparameters` reads the values of the
    last one (at init, of step 0): the state does not hold the schedules, so their values at n are not known here.

    Args:
        state: a state, or a tree of states, with a `HyperparametersState` in it.
        n: the number of updates that the schedules see as done; a whole number from 0 to 2³¹ - 1, or an integer
            array: a scalar, or of the shape of the counts where states are batched.
        names: only for these hyperparameters, by the names of `hyperparameters(state)`: `["learning_rate"]`. All
            hyperparameters of one transformation share a count. None: for all.

    Returns: the new state.
    Raises:
        TypeError: n is not a whole number. ValueError: n is out of range or of another shape, or the state has no such
            count.

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
        raise ValueError(f"there is no count of {name!r}{suggestion(name, found)}; there is {', '.join(sorted(found))}")
    return changed


def keep_hyperparameters(fresh: Any, old: Any) -> Any:
    """A new state with the hyperparameters of an old one: counts of schedules, and values set by hand."""

    def at(new: Any, node: Any) -> Any:
        return node._replace(inner=keep_hyperparameters(new.inner, node.inner)) if _is_held(new) else new

    return jax.tree.map(at, fresh, old, is_leaf=_is_held)


def _put(new: jax.Array, old: Any) -> Any:
    """A copy of the new value (it may be donated) in the type, shape and container of the old one: nnx has boxes."""
    return jax.tree.map(lambda x: jnp.array(jnp.broadcast_to(new.astype(x.dtype), x.shape)), old)


def _is_held(node: Any) -> bool:
    return isinstance(node, HyperparametersState | InjectState)


def _nodes(state: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Every state that holds hyperparameters, with its path."""
    for inner_path, node in jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_held)[0]:
        if _is_held(node):
            yield (*path, *inner_path), node
            yield from _nodes(node.inner, (*path, *inner_path))


def _by_place(state: Any) -> dict[str, tuple[str, Any]]:
    """Every hyperparameter by its place in the state: its own name, and the state that holds it."""
    found: dict[str, tuple[str, Any]] = {}
    for path, node in _nodes(state):
        for name in node.hyperparameters:
            place = path_name((*path, name))
            if place in found:
                raise ValueError(f"two hyperparameters of this state are called {place!r}: rename a member of a chain")
            found[place] = name, node
    return found


def _map_held(change: Callable[[tuple, Any], Any], state: Any, path: tuple = ()) -> Any:
    """The state with `change(path, node)` for each that holds hyperparameters, those inside others first."""

    def at(end: tuple, node: Any) -> Any:
        here = (*path, *end)
        return change(here, node._replace(inner=_map_held(change, node.inner, here))) if _is_held(node) else node

    return jax.tree_util.tree_map_with_path(at, state, is_leaf=_is_held)
