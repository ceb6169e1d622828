"""`@transformation`, which makes the factory of a transformation; transformations of other libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, Unpack, overload

from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Schedule
from gradtx.core.traits import Declared, Traits
from gradtx.errors import describe
from gradtx.values.factory import Factory, LeafMarker

P = ParamSpec("P")
_RESERVED = {name for name in dir(GradientTransformation) if not name.startswith("_")}


Make = Callable[[Callable[P, Any]], Callable[P, GradientTransformation]]


@overload
def transformation(body: Callable[P, Any], /) -> Callable[P, GradientTransformation]: ...


@overload
def transformation(**traits: Unpack[Declared]) -> Make: ...


def transformation(body: Any = None, /, **traits: Unpack[Declared]) -> Any:
    """Make the factory of a transformation from a function that takes hyperparameters and returns `(init, update)`.

    Parameters annotated `Hyper` become leaves of the value. Each may be a number, a scalar array or a schedule; the
    closures always see numbers. `Number` is for a number that `init` reads once, so no schedule; `Count` for a whole
    number; `Steps` for a whole number or a schedule of them. Parameters annotated `Transformation` are inner
    transformations. All others are static. A function that returns a transformation instead of a pair is a recipe.

    `update` may take extra arguments, which must be keyword-only. A wrapper takes `**extra` and passes it on. The
    function may return a third closure, `step`, with the arguments of `update`: it returns the new parameters instead
    of updates.

    Args:
        body: the function.
        any_leaves: declare that the result does not depend, up to rounding, on how numbers are divided into leaves: not
            on the shape, rows, norm or name of a leaf. Then `pack` may join small leaves.
        sparse_rows: declare that a row without gradient may be left alone: the transformation is elementwise, or uses a
            norm of the whole tree. Then gradients may be `RowSparse`.
        leafwise: declare that `update` hands the updates to `map_leaves` alone, or its leaves to `jnp.asarray`, and
            returns the trees that it gets from there without looking at them. Then a chain may join its leaf function
            with those of its neighbors, which JAX traces faster. It may run after `update` has returned, so it must not
            read what changes meanwhile, such as the variable of a loop.
        sets_params: declare that the updates lead to exactly the parameters that this transformation chose. They must
            be added unchanged, so nothing may come after it in a chain.
        clips: declare that it only makes updates smaller, down to a bound.
        whole_tree: declare that it looks at all leaves together, as a global norm does.
        needs_matrices: declare that it treats a leaf of two axes as a matrix; so has every wrapper round it.
        takes_examples: declare that the incoming updates are gradients of single examples, with one more axis in front
            of every leaf; so does every wrapper and chain round it.
        sign: 1 if the updates point along the incoming ones, -1 if against them, 0 if that is not known. By default 1,
            times the sign of what is inside, on which several members must agree. Or a function
            `(arguments, signs inside) -> sign`. A chain has the product of its members' signs.
        divides: `(arguments, state) -> {field: Divisor}`, for the second moments that updates are divided by.
        gradient_powers: `arguments -> {hyperparameter: n}`, for those of the unit of the nth power of the gradient; 0
            if they have another one. Not declared, `eps` is in units of the gradient, and `eps_root` in their squares.
        words: phrases for `explain`: "rest" if it holds parameters still; "in" and "out" in front of what it did.

    These traits are declared for pieces and wrappers, and `tx.traits` combines them. A wrapper has `any_leaves`,
    `sparse_rows` and `leafwise` only if everything inside has them too. A recipe has the traits of its piece.

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

    def decorate(body: Callable) -> Any:
        sets_params = body.__name__ if traits.get("sets_params") else ""
        factory = Factory(body, Traits(**{**traits, "sets_params": sets_params}))
        code = inspect.unwrap(body).__code__
        reserved = sorted(set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) & _RESERVED)
        if reserved:
            raise TypeError(f"{factory.name}: {reserved[0]!r} cannot be the name of a hyperparameter; it is a method")

        def make(arguments: dict[str, Any]) -> GradientTransformation:
            # Built at once, so that a wrong number is an error here and not in the training step.
            value = GradientTransformation._of(factory, arguments)._built()
            value._cache["made"] = True
            return value

        return factory.publish(make)

    return decorate if body is None else decorate(body)


@transformation(sign=0)
def foreign(init_fn: Callable, update_fn: Callable):
    """Make a transformation of another library, given by its two functions; `chain` does this with optax's and pairs.

    Args:
        init_fn: `params -> state`.
        update_fn: `(updates, state, params) -> (updates, state)`. It may lack `params`, and may take extra arguments.
    """

    return init_fn, update_fn


GradientTransformation._pair = staticmethod(foreign)


def as_transformation(name: str, value: Any) -> GradientTransformation:
    """Return a gradtx transformation unchanged, and an optax transformation or a bare pair as a `foreign` one."""
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
"""Annotates an inner transformation: one of gradtx or optax, or a bare pair of functions."""
