"""The pair `init`/`update` as a value, and `@transformation`, which makes one from two closures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core.errors import describe
from gradtx.core.factory import Factory, Leaves
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.piece import Extras, Piece
from gradtx.core.placement import placed
from gradtx.core.schedule import Schedule, at_step, is_schedule
from gradtx.core.values import Value, closed, opened

P = ParamSpec("P")


class EmptyState(NamedTuple):
    """The state of a transformation that keeps nothing; a chain has no entry for it."""


class HyperparametersState(NamedTuple):
    """The state of a transformation some of whose hyperparameters change: by schedules, or by hand after `inject`.

    count: updates done; int32 scalar, 0 at init; it stops at 2**31 - 1.
    hyperparameters: name -> the value that the last update used (at init: that the first will use); float scalars.
    inner: the state of the transformation itself.
    """

    count: jax.Array
    hyperparameters: dict[str, jax.Array]
    inner: Any


class GradientTransformation(Value):
    """A pair of pure functions, kept as the call that made it.

    `init(params)` gives the state; `update(updates, state, params)` gives the new updates and the next state. It
    unpacks as that pair, prints as its call, compares and hashes by value, and is a pytree of its hyperparameters.
    """

    __slots__ = ()

    def init(self, params: Any) -> Any:
        """The state before the first step, for parameters or `jax.ShapeDtypeStruct`s; outside jit, where they lie."""
        plan, scheduled = self._kept()._plan, self._scheduled
        if isinstance(plan, GradientTransformation) or not scheduled:
            return placed(plan.init(params), params)
        count, dtype = zero_count(), float_dtype(params)
        values = {k: at_step(f"{self.name}'s {k}", v, count, dtype) for k, v in scheduled.items()}
        return placed(HyperparametersState(count, values, self._with(values).init(params)), params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """Transform the updates (at first: the gradients) and step the state; `params` are the current parameters.

        Raises:
            TypeError: where the state is not this transformation's, an extra argument is unknown or missing.
            ValueError: where a leaf does not fit its parameter, or `params` is needed and was not given.
        """
        plan, scheduled = self._kept()._plan, self._scheduled
        if isinstance(plan, GradientTransformation) or not scheduled:
            return plan.update(updates, state, params, **extra)
        if not isinstance(state, HyperparametersState) or state.hyperparameters.keys() != scheduled.keys():
            kept = "new._replace(inner=old) keeps what it has learned"
            if isinstance(state, EmptyState):
                kept = "in a chain, {**tx.init(params), **old_state} keeps what other members have"
            raise TypeError(
                f"{self.name} has schedules for {sorted(scheduled)}: its state is a HyperparametersState with "
                f"those names; got {describe(state)}. Make the state with this transformation's own init; {kept}"
            )
        count, held = state.count, state.hyperparameters
        values = {k: at_step(f"{self.name}'s {k}", v, count, jnp.result_type(held[k])) for k, v in scheduled.items()}
        updates, inner = self._with(values).update(updates, state.inner, params, **extra)
        return updates, HyperparametersState(increment(count), values, inner)

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    @property
    def _label(self) -> str:
        """What a chain calls this member: its name; of another library's, the name of the function that made it."""
        if self._factory.public is not foreign:
            return self.name
        made_by = getattr(self.update_fn, "__qualname__", "<").split(".")[0]
        return self.name if made_by.startswith("<") else made_by

    @property
    def _plan(self) -> Piece | GradientTransformation:
        """What the factory's body returned: a pair, or the transformation that a recipe stands for."""
        # Only factories keep it. A value that came out of a pytree is built anew each time: what its body computes
        # under a trace belongs to that trace, and the value may outlive it.
        return self._cache.get("plan") or self._build()

    @property
    def _scheduled(self) -> dict[str, Schedule]:
        """The schedules that the core follows, by name; one that stands for anything but a `Hyper` is the body's."""
        markers, children = self._factory.leaves, opened(self).children
        return {c.name: c.value for c in children if is_schedule(c.value) and markers[c.owner].follows}

    def _with(self, values: Mapping[str, Any]) -> GradientTransformation:
        """The same with other children, by their names; nothing is checked."""
        children, keys = opened(self)
        changed = [values.get(c.name, c.value) for c in children]
        return GradientTransformation(self._factory, closed(self._factory, self._arguments, keys, changed))

    def _kept(self) -> GradientTransformation:
        """This value with its closures, and those of the values inside it, kept: for the length of one call."""
        if "plan" in self._cache:
            return self
        value = self._with({c.name: c.value._kept() for c in opened(self).children if is_transformation(c.value)})
        value._cache["plan"] = value._build()
        return value

    def _build(self) -> Piece | GradientTransformation:
        self._require_one()
        scheduled = {k: at_step(f"{self.name}'s {k}", v, zero_count(), "float32") for k, v in self._scheduled.items()}
        at_first = self._with(scheduled) if scheduled else self
        result = at_first._called()  # a body does arithmetic on numbers, not on schedules
        if isinstance(result, GradientTransformation):
            return self._called() if scheduled else result  # a recipe passes its schedules on
        if isinstance(result, tuple) and len(result) == 2 and all(map(callable, result)):
            inner = [c.value._extras for c in opened(self).children if is_transformation(c.value)]
            wraps = any(marker.coerce is as_transformation for marker in self._factory.leaves.values())
            return Piece(self.name, *result, wraps=wraps, inner=inner)
        raise TypeError(f"{self.name} must return (init, update) or a transformation; it returned {result!r}")

    def _called(self) -> Any:
        delivered = {c.name: _delivered(c.value, self._factory.leaves[c.owner].whole) for c in opened(self).children}
        try:
            args, kwargs = self._factory.spread(self._with(delivered)._arguments)
            return self._factory.body(*args, **kwargs)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    def _require_one(self) -> None:
        """Raise where a hyperparameter holds several numbers: then this is a batch of transformations."""
        for name, _, value in opened(self).children:
            shape = getattr(value, "shape", ())
            if shape != ():
                held = f"this {self.name} holds a batch of transformations, {name} has shape {tuple(shape)}"
                raise ValueError(
                    f"{held}: use it in jax.vmap, or take one: jax.tree.map(lambda x: x[0], transformations)"
                )

    def _recipe(self) -> GradientTransformation:
        """The piece at the end of a recipe, or this transformation where it is a piece."""
        plan = self._plan
        return plan._recipe() if isinstance(plan, GradientTransformation) else self

    @property
    def _extras(self) -> Extras:
        plan = self._recipe()._plan
        assert isinstance(plan, Piece)
        return plan.extras

    def _known(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Of the extra arguments that several transformations share, those that this one takes."""
        return extra if self._extras.anything else {k: v for k, v in extra.items() if k in self._extras.known}


_RESERVED = {name for name in dir(GradientTransformation) if not name.startswith("_")}


def transformation(body: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make the factory of a transformation from a function that takes hyperparameters and returns `(init, update)`.

    Parameters annotated `Hyper` become leaves of the value: each may be a number, a scalar array or a schedule, and
    the closures always see numbers. Parameters annotated `Transformation` are transformations inside this one. All
    others are static. A function that returns a transformation instead of a pair is a recipe.

    `update` may take extra arguments: name them, keyword-only; a wrapper takes `**extra` and passes them on.

    Example:
        >>> import jax
        >>> from gradtx import Hyper
        >>> @transformation
        ... def shrink(factor: Hyper = 0.5):
        ...     def init(params):
        ...         return EmptyState()
        ...
        ...     def update(updates, state, params=None):
        ...         return jax.tree.map(lambda g: factor * g, updates), state
        ...
        ...     return init, update
        >>> shrink(0.25)
        shrink(factor=0.25)
        >>> shrink(0.25).update(4.0, EmptyState())[0]
        1.0
    """
    factory = Factory(body)
    reserved = sorted(set(factory.signature.parameters) & _RESERVED)
    if reserved:
        raise TypeError(f"{factory.name}: {reserved[0]!r} cannot be the name of a hyperparameter; it is a method")

    def make(arguments: dict[str, Any]) -> GradientTransformation:
        value = GradientTransformation(factory, arguments)
        value._cache["plan"] = value._build()  # now: a wrong number is an error here, not in the training step
        return value

    return factory.publish(make)


@transformation
def foreign(init_fn: Callable, update_fn: Callable):
    """Another library's transformation, from its two functions; `chain` wraps optax's and bare pairs in this.

    Args:
        init_fn: `params -> state`.
        update_fn: `(updates, state, params) -> (updates, state)`; without `params`, with extra arguments, if it likes.
    """

    return init_fn, update_fn


def as_transformation(name: str, value: Any) -> GradientTransformation:
    """A gradtx transformation as it is; an optax transformation or a bare pair `(init, update)` as a `foreign` one."""
    if isinstance(value, GradientTransformation):
        return value
    if isinstance(value, tuple) and len(value) == 2 and all(map(callable, value)):
        return foreign(*value)
    if isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a transformation; got a {type(value).__name__}: write chain(*members)")
    if isinstance(value, Schedule):
        raise TypeError(f"{name} must be a transformation; got a schedule: use scale_by_learning_rate(schedule)")
    called = f"; did you forget to call it: {value.__name__}(...)?" if inspect.isfunction(value) else ""
    raise TypeError(f"{name} must be a transformation or a pair (init, update); got {describe(value)}{called}")


def is_transformation(value: Any) -> bool:
    """Whether this is a gradtx transformation; the `is_leaf` for walking arguments."""
    return isinstance(value, GradientTransformation)


Transformation = Annotated[Any, Leaves(as_transformation)]
"""A transformation inside another: gradtx's, optax's, or a bare pair of functions."""


def _delivered(value: Any, whole: bool) -> Any:
    """As the closures see it: counts as whole numbers; no scalar of half precision, which would round what it meets."""
    if isinstance(value, float):
        return int(value) if whole and value.is_integer() else value
    if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)):
        return value
    return value.astype("int32") if whole else value.astype("float32") if value.dtype.itemsize < 4 else value
