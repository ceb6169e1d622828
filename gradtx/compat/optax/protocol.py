"""optax's protocol for the values of gradtx: extra arguments, dtypes of updates, states of chains.

Inside nothing differs: the value is gradtx's call, with its state and its arithmetic.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.compat.optax.layout import from_layout, to_layout
from gradtx.core.pair import GradientTransformation
from gradtx.core.plan import ALWAYS_ALLOWED
from gradtx.core.special import is_leaf
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, is_trained

P = ParamSpec("P")


class OptaxTransformation(GradientTransformation):
    """A transformation whose `update` keeps optax's protocol.

    It takes any extra argument, and drops those that nothing inside knows; where there is a `value_fn`, they go to it,
    and it is an error if it does not have them. Its updates have the dtype of the gradients, or that of the parameters
    where this is wider. Members of a chain pass float32 or wider to each other. The state of a chain is a tuple; it
    also takes gradtx's dict.
    """

    def init(self, params: Any) -> Any:
        """The state before the first step."""
        return to_layout(self, super().init(params))

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """The updates and the next state."""
        new, after = super().update(updates, from_layout(self, state), params, **self._taken(extra))
        return in_their_dtypes(new, updates, params), self._like(after, state)

    def step(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """The new parameters and the next state."""
        new, after = super().step(updates, from_layout(self, state), params, **self._taken(extra))
        return new, self._like(after, state)

    def _like(self, after: Any, state: Any) -> Any:
        """The next state in the layout of the one before, which may be gradtx's."""
        return after if isinstance(state, dict) else to_layout(self, after)

    def _taken(self, extra: dict[str, Any]) -> dict[str, Any]:
        """The extra arguments that the inside takes."""
        taken = self.extras.taken(extra)
        value_fn = taken.get("value_fn")
        if callable(value_fn) and len(taken) < len(extra):
            names = _parameters(value_fn)
            own = {name: x for name, x in extra.items() if name not in taken and name in names}
            unknown = sorted(extra.keys() - taken.keys() - own.keys() - ALWAYS_ALLOWED)
            if unknown and names:
                raise TypeError(f"{self.name}: Unexpected keyword arguments {unknown}: value_fn does not take them")
            taken = {**taken, "value_fn": functools.partial(value_fn, **own)} if own else taken
        return taken

    def replace(self, **changes: Any) -> GradientTransformation:
        """The same call with some arguments changed."""
        return of_class(type(self), super().replace(**changes))

    def __repr__(self) -> str:
        return f"compat.optax.{super().__repr__()}"

    def __reduce__(self):
        return of_class, (type(self), plain(self))


def with_protocol(tx: GradientTransformation) -> GradientTransformation:
    """The same value with optax's protocol."""
    return tx if isinstance(tx, OptaxTransformation) else of_class(OptaxTransformation, tx)


def plain(tx: GradientTransformation) -> GradientTransformation:
    """The same value with gradtx's own protocol."""
    return of_class(GradientTransformation, tx)


def of_class(cls: type[GradientTransformation], tx: GradientTransformation) -> GradientTransformation:
    """The same value as an instance of this class."""
    if type(tx) is cls:
        return tx
    value = cls._of(tx._factory, tx._arguments)
    value._cache.update(tx._cache)
    return value


def as_optax(name: str, tx: Any) -> GradientTransformation:
    """A transformation of gradtx or optax, or a bare pair, with optax's protocol."""
    return with_protocol(as_transformation(name, tx))


def optaxed(function: Callable[P, GradientTransformation]) -> Callable[P, GradientTransformation]:
    """The same factory; what it makes keeps optax's protocol."""

    @functools.wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
        return with_protocol(function(*args, **kwargs))

    return made


def _parameters(function: Callable) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return {}


def in_their_dtypes(new: Any, updates: Any, params: Any) -> Any:
    """New updates in the dtypes of the gradients, or of the parameters where those are wider."""
    leaves, structure = flatten(new)
    given, those = flatten(updates)
    beside = flatten(params)[0] if params is not None else given
    if structure != those or len(beside) != len(leaves):
        return new

    def cast(u: Any, g: Any, p: Any) -> Any:
        if not (is_trained(u) and is_trained(g)) or (is_leaf(u) and not hasattr(u, "astype")):
            return u
        dtype = jnp.promote_types(jnp.result_type(g), jnp.result_type(p) if is_trained(p) else jnp.result_type(g))
        return u if jnp.result_type(u) == dtype else jnp.asarray(u).astype(dtype)

    return jax.tree.unflatten(structure, [cast(*row) for row in zip(leaves, given, beside, strict=True)])
