"""The door of a transformation under optax's names: optax's protocol in front of the same value.

Inside nothing differs: the value is gradtx's call, with its state and its arithmetic.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core.pair import GradientTransformation
from gradtx.core.special import is_leaf
from gradtx.core.transformation import as_transformation
from gradtx.core.trees import flatten, is_trained

P = ParamSpec("P")


class OptaxTransformation(GradientTransformation):
    """A transformation whose `update` keeps optax's protocol.

    It takes any extra argument, and drops those that nothing inside knows. Its updates have the dtype of the gradients,
    or that of the parameters where this is wider. Members of a chain pass float32 or wider to each other.
    """

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """The updates and the next state."""
        new, state = super().update(updates, state, params, **self.extras.taken(extra))
        return in_their_dtypes(new, updates, params), state

    def step(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """The new parameters and the next state."""
        return super().step(updates, state, params, **self.extras.taken(extra))

    def replace(self, **changes: Any) -> GradientTransformation:
        """The same call with some arguments changed."""
        return opened(super().replace(**changes))

    def __reduce__(self):
        return opened, (plain(self),)


def opened(tx: GradientTransformation) -> GradientTransformation:
    """The same value behind optax's door."""
    return _as(OptaxTransformation, tx)


def plain(tx: GradientTransformation) -> GradientTransformation:
    """The same value without the door."""
    return _as(GradientTransformation, tx)


def _as(cls: type[GradientTransformation], tx: GradientTransformation) -> GradientTransformation:
    if type(tx) is cls:
        return tx
    value = cls._of(tx._factory, tx._arguments)
    value._cache.update(tx._cache)
    return value


def as_optax(name: str, tx: Any) -> GradientTransformation:
    """A transformation of gradtx or optax, or a bare pair, behind the door."""
    return opened(as_transformation(name, tx))


def optaxed(function: Callable[P, GradientTransformation]) -> Callable[P, GradientTransformation]:
    """The same factory; what it makes keeps optax's protocol."""

    @functools.wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> GradientTransformation:
        return opened(function(*args, **kwargs))

    return made


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
