"""A pair of closures as the core calls it: checked before and after, so that errors speak of the caller's leaves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from gradtx.core.apply import apply_updates
from gradtx.core.closures import Closures
from gradtx.core.errors import describe, suggestion
from gradtx.core.joined import require_separate
from gradtx.core.row_leaves import NoIdleRuleError
from gradtx.core.trees import first_sparse, require_arrays, require_same_tree, with_distinct_rows

ALWAYS_ALLOWED = frozenset({"value", "grad", "value_fn"})  # other libraries pass these to whatever they are given


class Extras(NamedTuple):
    """The extra arguments of an update: those it needs, with who needs them; those it may be given; whether any."""

    needed: Mapping[str, str]
    known: frozenset[str]
    anything: bool


class Piece:
    """A pair of closures, called with care: arguments are checked before, so that errors speak of the caller's."""

    def __init__(
        self,
        name: str,
        closures: Closures,
        *,
        wraps: bool,
        inner: list[Extras],
        sparse_rows: bool = False,
        any_leaves: bool = False,
    ):
        """Read off the signature of `update` what it takes.

        Args:
            name: as in errors.
            closures: what the body returned.
            wraps: whether it takes transformations; it then leaves the checks of trees to those inside.
            inner: the extra arguments of the transformations inside.
            sparse_rows: whether it may be given gradients that name their rows; those inside are asked for themselves.
            any_leaves: whether leaves may be joined; those inside are asked for themselves.
        """
        self.name, self.closures = name, closures
        self.sparse_rows, self.any_leaves = sparse_rows, any_leaves
        self.checks = not (wraps and inner)  # an empty chain has nobody inside to leave the checks to
        parameters = inspect.signature(closures.update).parameters.values()
        only = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        self.forwards = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        theirs = inner if self.forwards else []
        self.own = frozenset(p.name for p in only)
        needed = {p.name: name for p in only if p.default is p.empty}
        for theirs_needed in (e.needed for e in theirs):
            needed = {**theirs_needed, **needed}
        anything = any(e.anything for e in theirs) or (self.forwards and not wraps)
        self.extras = Extras(needed, self.own.union(*(e.known for e in theirs)), anything)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.takes_params = len(positional) > 2
        self.needs_params = self.takes_params and positional[2].default is inspect.Parameter.empty

    def init(self, params: Any) -> Any:
        """Check the parameters, and make the state."""
        if self.checks:
            require_arrays("parameter", params)
            name = first_sparse(params)
            if name is not None:
                raise TypeError(f"{self.name}: the parameter at {name} must be an array; got a RowSparse, a gradient")
        if not self.any_leaves:
            require_separate(self.name, params)
        return self.closures.init(params)

    def update(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """Check the call, make it, and check what came back."""
        return self._called(self.closures.update, updates, state, params, extra)

    def step(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """The parameters after the update, and the next state."""
        if self.closures.step is not None:
            return self._called(self.closures.step, updates, state, params, extra)
        updates, state = self.update(updates, state, params, **extra)
        return apply_updates(params, updates), state

    def _called(self, closure: Callable, updates: Any, state: Any, params: Any, extra: dict) -> tuple[Any, Any]:
        self._require_extras(extra)
        self._require_state(updates, state)
        if params is None and self.needs_params:
            raise ValueError(f"{self.name} needs the parameters: call update(updates, state, params)")
        if params is not None and self.checks:
            require_same_tree("gradient", updates, "parameter", params)
        updates = self._with_rows(updates)
        if not self.any_leaves:
            require_separate(self.name, updates)
        given = {k: v for k, v in extra.items() if self.forwards or k in self.own}
        with jax.named_scope(self.name):
            try:
                result = closure(updates, state, *([params] if self.takes_params else []), **given)
            except NoIdleRuleError as error:
                error.piece = error.piece or self.name  # the innermost is first
                raise
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{self.name}: update must return (updates, state); it returned {describe(result)}")
        return result

    def _with_rows(self, updates: Any) -> Any:
        """The updates as this piece takes them: with each row of a RowSparse once; without any, where it needs all."""
        if self.sparse_rows:
            return with_distinct_rows("gradient", updates)
        name = first_sparse(updates)
        if name is not None:
            raise TypeError(
                f"{self.name} cannot take the RowSparse gradient at {name} row by row: give its .dense(), or "
                f"route(...) this leaf to a transformation that can"
            )
        return updates

    @functools.cached_property
    def state_type(self) -> type | None:
        """The type of the state, from `init` of an empty tree; None where that cannot be had."""
        try:
            types = {type(jax.eval_shape(self.closures.init, empty)) for empty in ({}, ())}
            return types.pop() if len(types) == 1 else None  # a state that mirrors the parameters has their type
        except Exception:  # an init may need more than an empty tree; then the state goes unchecked
            return None

    def _require_state(self, updates: Any, state: Any) -> None:
        expected = self.state_type
        if expected is None or isinstance(state, expected):
            return
        if isinstance(updates, expected) and expected is not dict:
            raise TypeError(f"{self.name}: updates and state are swapped: call update(updates, state, params)")
        raise TypeError(
            f"{self.name}: the state must be a {expected.__name__}; got {describe(state)}. "
            f"Make the state with this transformation's own init"
        )

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
