"""Plans: the code that runs when a transformation is called, with its checks. Each value makes its plan once."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.leaves import apply_updates, float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.schedule import Schedule, at_step
from gradtx.core.special import refusals_name
from gradtx.core.states import EmptyState, HyperparametersState, require_scheduled
from gradtx.core.traits import Branch, Closures, Traits
from gradtx.core.trees import require_arrays, require_plain_parameters, require_same_tree, taken_by
from gradtx.errors import describe, suggestion

ALWAYS_ALLOWED = frozenset({"value", "grad", "value_fn"})  # other libraries pass these to every transformation
_SWAPPED = "updates and state are swapped: call update(updates, state, params)"


class Extras(NamedTuple):
    """The extra arguments of an update.

    needed: name -> the transformation that needs it. known: all names that it may be given. anything: whether it takes
    other names too.
    """

    needed: Mapping[str, str]
    known: frozenset[str]
    anything: bool

    def taken(self, extra: dict[str, Any]) -> dict[str, Any]:
        """The entries of `extra` that this transformation takes."""
        return extra if self.anything else {k: v for k, v in extra.items() if k in self.known}


class Piece:
    """The plan of a pair of closures. It checks a call before they run, so that errors name the leaves of the caller.

    wraps: whether it takes transformations. inside: the extra arguments that these take.
    """

    def __init__(self, name: str, closures: Closures, traits: Traits, *, wraps: bool, inside: Iterable[Extras] = ()):
        self.name, self.closures, self.traits = name, closures, traits
        parameters = inspect.signature(closures.update).parameters.values()
        only = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        self._forwards = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        self._own = frozenset(p.name for p in only)
        # A piece that takes **extra but no transformations, such as one of another library, may need any argument.
        needed, known, anything = {p.name: name for p in only if p.default is p.empty}, self._own, False
        for extras in inside if self._forwards else ():
            needed, known, anything = {**extras.needed, **needed}, known | extras.known, anything or extras.anything
        anything = anything or (self._forwards and not wraps)
        self.extras = Extras(needed, known, anything)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._takes_params = len(positional) > 2
        self._needs_params = self._takes_params and positional[2].default is inspect.Parameter.empty

    def with_closures(self, closures: Closures) -> Piece:
        """The same piece with closures for other numbers."""
        piece = copy.copy(self)
        piece.__dict__["state_type"] = self.state_type  # so that the copy does not trace `init` to find it
        piece.closures = closures
        return piece

    def init(self, params: Any) -> Any:
        """Check the parameters and make the state."""
        require_arrays("parameter", params)
        require_plain_parameters(self.name, self.traits, params)
        return self.closures.init(params)

    def update(
        self, updates: Any, state: Any, params: Any, extra: dict[str, Any], step: bool = False
    ) -> tuple[Any, Any]:
        """The updates and the next state; with `step`, the new parameters and the next state."""
        updates, rest, given = self._checked(updates, state, params, extra)
        closure = self.closures.step if step else self.closures.update
        with jax.named_scope(self.name), refusals_name(self.name):
            result = (closure or self.closures.update)(updates, state, *rest, **given)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{self.name}: update must return (updates, state); it returned {describe(result)}")
        return result if closure else (apply_updates(params, result[0]), result[1])

    def _checked(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, tuple, dict]:
        """Check a call. Return the updates, other positional arguments and extra arguments for the closures."""
        self._require_extras(extra)
        self._require_state(updates, state, params)
        if params is None and self._needs_params:
            raise ValueError(f"{self.name} needs the parameters: call update(updates, state, params)")
        if params is not None and not self.traits.takes_examples:
            self._require_updates(updates, state, params)
        given = {k: v for k, v in extra.items() if self._forwards or k in self._own}
        return taken_by(self.name, self.traits, updates), (params,) if self._takes_params else (), given

    @functools.cached_property
    def state_type(self) -> type | None:
        """The type of the state, declared or found with `init` of an empty tree; None if it is not known."""
        if self.closures.state is not None:
            return self.closures.state
        try:  # with two kinds of trees: a state that is itself like the parameters has their type, not one of its own
            types = set(map(type, jax.eval_shape(lambda: [self.closures.init(empty) for empty in ({}, ())])))
            return types.pop() if len(types) == 1 else None
        except Exception:  # some need more than an empty tree; their states are not checked
            return None

    @functools.cached_property
    def _keeps_nothing(self) -> bool:
        """Whether the state is always empty, as that of a chain of pieces without state."""
        if self.state_type is not dict:
            return self.state_type is EmptyState
        try:
            return jax.eval_shape(self.closures.init, ()) == {}
        except Exception:  # as above
            return False

    def _require_state(self, updates: Any, state: Any, params: Any) -> None:
        expected = self.state_type
        if expected is None or isinstance(state, expected) or (self._keeps_nothing and not jax.tree.leaves(state)):
            return
        if isinstance(updates, expected) and expected is not dict:
            raise TypeError(f"{self.name}: {_SWAPPED}")
        got, kind = describe(state), type(state)
        if kind.__name__ == expected.__name__:
            got = f"the {kind.__name__} of {kind.__module__.partition('.')[0]}"
        raise TypeError(
            f"{self.name}: the state must be a {expected.__name__}; got {got}. Make the state with this "
            f"transformation's own init; that of a training with optax comes over by gradtx.compat.optax.import_state"
        )

    def _require_updates(self, updates: Any, state: Any, params: Any) -> None:
        try:
            require_same_tree("gradient", updates, "parameter", params)
        except (TypeError, ValueError):
            wanted = jax.tree.structure(params)
            if isinstance(updates, tuple) and len(updates) == 2 and jax.tree.structure(updates[1]) == wanted:
                raise TypeError(
                    f"{self.name}: the gradients are a pair whose second part fits the parameters: value_and_grad "
                    f"returns (value, grads); give update the grads alone"
                ) from None
            own = jax.tree.structure(jax.eval_shape(self.closures.init, params))  # a state may look like the parameters
            if jax.tree.structure(state) == wanted != own == jax.tree.structure(updates):
                raise TypeError(f"{self.name}: {_SWAPPED}") from None
            if jax.tree.structure(state) == jax.tree.structure(updates) != wanted:
                raise TypeError(f"{self.name}: {_SWAPPED.replace('updates', 'params', 1)}") from None
            raise

    def _require_extras(self, extra: Mapping[str, Any]) -> None:
        for name, who in self.extras.needed.items():
            if name not in extra:
                raise TypeError(f"{who} needs {name}: call update(updates, state, params, {name}=...)")
        unknown = sorted(extra.keys() - self.extras.known - ALWAYS_ALLOWED)
        if unknown and not self.extras.anything:
            known = ", ".join(sorted(self.extras.known)) or "none"
            near = suggestion(unknown[0], self.extras.known | ALWAYS_ALLOWED)
            raise TypeError(
                f"{self.name} takes no argument {unknown[0]!r} in update{near}; its extra arguments: {known}"
            )


class Scheduled:
    """The plan of a piece with hyperparameters that follow schedules: it counts the steps and computes the values.

    piece: with the values of step 0. body: values of the hyperparameters, and the step -> closures.
    """

    def __init__(
        self, piece: Piece, schedules: Mapping[str, Schedule], body: Callable[[Mapping[str, Any], Any], Closures]
    ):
        self.name, self.extras, self.traits = piece.name, piece.extras, piece.traits
        self._piece, self._schedules, self._body = piece, schedules, body

    @property
    def closures(self) -> Closures:
        """The closures for the values of step 0, with a branch that follows the schedules."""
        closures = self._piece.closures
        if closures.branch is None:
            return dataclasses.replace(closures, passes=None)

        def decide(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
            branch: Any = self._now(state)[0].closures.branch
            return branch.decide(updates, state.inner, params, **extra)

        return Closures(closures.init, closures.update, closures.step, Branch(decide), closures.leaf_groups)

    def init(self, params: Any) -> HyperparametersState:
        """The count, the values at step 0, and the state of the piece."""
        count, dtype = zero_count(), float_dtype(params)
        values = {k: at_step(f"{self.name}'s {k}", v, count, dtype) for k, v in self._schedules.items()}
        return HyperparametersState(count, values, self._piece.with_closures(self._body(values, count)).init(params))

    def update(
        self, updates: Any, state: Any, params: Any, extra: dict[str, Any], step: bool = False
    ) -> tuple[Any, Any]:
        """The update of the piece, or its step, with the values of this step."""
        piece, values = self._now(state)
        out, inner = piece.update(updates, state.inner, params, extra, step)
        return out, HyperparametersState(increment(state.count), values, inner)

    def _now(self, state: Any) -> tuple[Piece, dict[str, Any]]:
        """The piece for this step, and the values of its hyperparameters in the dtypes that the state has for them."""
        require_scheduled(self.name, self._schedules, state)
        dtypes = {k: jnp.result_type(x) for k, x in state.hyperparameters.items()}
        values = {k: at_step(f"{self.name}'s {k}", v, state.count, dtypes[k]) for k, v in self._schedules.items()}
        return self._piece.with_closures(self._body(values, state.count)), values
