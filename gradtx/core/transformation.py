"""`@transformation`, which makes a transformation from two closures; and those of other libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, Unpack, overload

from gradtx.core.errors import describe
from gradtx.core.factory import Factory, LeafMarker
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Schedule
from gradtx.core.traits import Declared, Traits

P = ParamSpec("P")
_RESERVED = {name for name in dir(GradientTransformation) if not name.startswith("_")}


Make = Callable[[Callable[P, Any]], Callable[P, GradientTransformation]]


@overload
def transformation(body: Callable[P, Any], /) -> Callable[P, GradientTransformation]: ...


@overload
def transformation(**traits: Unpack[Declared]) -> Make: ...


def transformation(body: Any = None, /, **traits: Unpack[Declared]) -> Any:
    """Make the factory of a transformation from a function that takes hyperparameters and returns `(init, update)`.

    Parameters annotated `Hyper` become leaves of the value: each may be a number, a scalar array or a schedule, and
    the closures always see numbers. Parameters annotated `Transformation` are transformations inside this one. All
    others are static. A function that returns a transformation instead of a pair is a recipe.

    `update` may take extra arguments: name them, keyword-only; a wrapper takes `**extra` and passes them on. A third
    function may be returned, with the arguments of `update`: it gives the new parameters instead of updates.

    Args:
        body: the function.
        any_leaves: whether it does the same, but for roundings, however the numbers are divided into leaves, so that
            small ones may be joined (`pack`): nothing depends on the shape, the rows, the norm or the name of one.
        sparse_rows: whether a row without gradient may be left as it is, so that a gradient may name the rows that it
            has (`RowSparse`): each entry is treated by itself, or by a norm of the whole tree.
        sets_params: whether its updates lead to values of the parameters that it has chosen, and must be added as they
            are: nothing may come after it in a chain.
        clips: whether it only makes updates smaller, down to a bound.
        whole_tree: whether it looks at all leaves together, as a global norm does.
        divides: `(arguments, state) -> {field: Divisor}`, for the second moments that updates are divided by.
        words: phrases for `explain`: "rest" where it holds parameters still; "in" and "out" in front of what it did.

    Traits are declared for pieces and wrappers. `tx.traits` combines them: a wrapper has `any_leaves` and `sparse_rows`
    where everything inside has them too. A recipe has the traits of the piece that it stands for.

    Example:
        >>> import jax
        >>> from gradtx import EmptyState, Hyper
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

    def of(body: Callable) -> Any:
        name = body.__name__ if traits.get("sets_params") else ""
        return _factory(body, Traits(**{**traits, "sets_params": name})).public

    return of if body is None else of(body)


def _factory(body: Callable, traits: Traits) -> Factory:
    factory = Factory(body, traits)
    reserved = sorted(set(factory.signature.parameters) & _RESERVED)
    if reserved:
        raise TypeError(f"{factory.name}: {reserved[0]!r} cannot be the name of a hyperparameter; it is a method")

    def make(arguments: dict[str, Any]) -> GradientTransformation:
        # Built now: a wrong number is an error here, not in the training step.
        value = GradientTransformation._of(factory, arguments)._built()
        value._cache["made"] = True
        return value

    factory.publish(make)
    return factory


@transformation
def foreign(init_fn: Callable, update_fn: Callable):
    """Another library's transformation, from its two functions; `chain` wraps optax's and bare pairs in this.

    Args:
        init_fn: `params -> state`.
        update_fn: `(updates, state, params) -> (updates, state)`; without `params`, with extra arguments, if it likes.
    """

    return init_fn, update_fn


GradientTransformation._pair = staticmethod(foreign)


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


Transformation = Annotated[Any, LeafMarker(as_transformation, wraps=True)]
"""A transformation inside another: gradtx's, optax's, or a bare pair of functions."""
