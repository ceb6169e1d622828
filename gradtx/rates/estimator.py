"""Estimators of a learning rate: values that say how a rate is learnt, and their protocol."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core.leaves import map_leaves
from gradtx.errors import describe
from gradtx.values.factory import Factory, LeafMarker
from gradtx.values.value import Value

P = ParamSpec("P")


class Now(NamedTuple):
    """What a step knows besides the gradients and the parameters.

    learning_rate: the factor of the learnt rate in this step, a number or a scalar array.
    value: the loss at the parameters, for estimators that need it; else None.
    """

    learning_rate: Any
    value: Any


class Advice(NamedTuple):
    """What an estimator says before the inner transformation runs.

    rate: the factor of the inner update; None for 1.
    feed: the factor of the gradients that the inner transformation gets; None for 1.
    """

    rate: Any
    feed: Any = None


def scaled(updates: Any, state: Any, rate: Any) -> tuple[Any, Any]:
    """The inner update times the rate; the state unchanged. What most estimators do after the inner transformation."""
    return updates if rate is None else map_leaves(lambda u: rate * u, updates), state


class Estimate(NamedTuple):
    """The functions of an estimator.

    init: `params -> state`. The state is a NamedTuple of scalars and of trees like the parameters.
    before: `(gradients, state, params, now) -> (Advice, state)`, before the inner transformation runs.
    after: `(inner update, state, rate) -> (update, state)`, when it has run.
    """

    init: Callable[[Any], Any]
    before: Callable[[Any, Any, Any, Now], tuple[Advice, Any]]
    after: Callable[[Any, Any, Any], tuple[Any, Any]] = scaled


class Estimator(Value):
    """How a learning rate is learnt, stored as the call that made it: `rates.distance(reps_rel=1e-06)`.

    It compares, hashes, prints and pickles by value, and is a pytree of its numbers.
    """

    @property
    def needs_value(self) -> bool:
        """Whether each update must be given the loss, as `value`."""
        return self.made_by.needs_value

    @property
    def one_rate(self) -> bool:
        """Whether it can only learn one rate for all leaves together."""
        return self.made_by.one_rate

    @property
    def descends(self) -> bool:
        """Whether the inner transformation must make steps of descent, and not directions of ascent."""
        return self.made_by.descends

    def estimate(self) -> Estimate:
        """Its functions."""
        return Estimate(*self._factory.run_body(self._arguments))

    def __repr__(self) -> str:
        where = "rates." if self._factory.body.__module__.startswith("gradtx.rates.") else ""
        return f"{where}{super().__repr__()}"


def estimator(
    *, needs_value: bool = False, one_rate: bool = False, descends: bool = False
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make the factory of an estimator from a function of numbers that returns `(init, before)`, or also `after`.

    Args:
        needs_value: whether each update must be given the loss, as `value`.
        one_rate: whether it can only learn one rate for all leaves together.
        descends: whether the inner transformation must make steps of descent, and not directions of ascent.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from gradtx.rates import Advice, estimator
        >>> @estimator()
        ... def one_over_norm(eps: gradtx.Number = 1e-8):
        ...     def before(g, state, params, now):
        ...         return Advice(1 / (gradtx.global_norm(g) + eps)), state
        ...
        ...     return lambda params: gradtx.EmptyState(), before
        >>> tx = gradtx.adapt_learning_rate(gradtx.sgd(1.0), one_over_norm(0.0))
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(jnp.ones(2)), jnp.ones(2))[0])
        [-0.6 -0.8]
    """

    def decorate(body: Callable[P, Any]) -> Callable[P, Any]:
        factory = Factory(body)

        def make(arguments: dict[str, Any]) -> Estimator:
            value = Estimator._of(factory, arguments)
            value.estimate()  # so that a wrong number is an error here
            value._cache["made"] = True
            return value

        public = factory.publish(make)
        public.__dict__.update(needs_value=needs_value, one_rate=one_rate, descends=descends)
        return public

    return decorate


def the_loss(who: str, value: Any, dtype: Any) -> jax.Array:
    """The loss that an update was given, as a scalar of this dtype.

    Raises: ValueError: it is None, or no scalar.
    """
    if value is None or jnp.shape(value) != ():
        raise ValueError(f"{who} needs value, the loss at the parameters, as a scalar; got {describe(value)}")
    return jnp.asarray(value).astype(dtype)


def as_estimator(name: str, value: Any) -> Estimator:
    """An estimator unchanged.

    Raises: TypeError: anything else.
    """
    if isinstance(value, Estimator):
        return value
    called = f": call it, {value.__name__}()" if inspect.isfunction(value) else ""
    raise TypeError(f"{name} must be an estimator, such as gradtx.rates.distance(); got {describe(value)}{called}")


LearntBy = Annotated[Any, LeafMarker(as_estimator)]
"""Annotates an estimator, whose numbers are leaves of the value that holds it."""
