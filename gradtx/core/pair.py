"""A gradient transformation: the pair `init`, `update` as a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from gradtx.core.leaves import without_python_numbers
from gradtx.core.numerics import zero_count
from gradtx.core.plan import Extras, Piece, Scheduled
from gradtx.core.schedule import at_step, is_schedule
from gradtx.core.special import refusals_name
from gradtx.core.states import finished
from gradtx.core.traits import Branch, Closures, Group, Traits, narrowed
from gradtx.core.trees import warn_of_integers
from gradtx.errors import describe, says
from gradtx.values.value import Value


class GradientTransformation(Value):
    """A pair of pure functions, stored as the call that made it.

    `init(params)` returns the state. `update(updates, state, params)` returns the new updates and the next state. A
    transformation unpacks as this pair, prints as its call, compares and hashes by value, and is a pytree of its
    hyperparameters.
    """

    _pair: ClassVar[Callable[[Any, Any], GradientTransformation]]  # `foreign`, which is made from this class
    _compiled_step: ClassVar[Callable[..., Any]]  # `gradtx.eager` sets it; its result is None for a step by hand

    def __new__(cls, init: Any, update: Any) -> GradientTransformation:
        """A transformation from two functions, as optax's constructor of this name makes one."""
        if not (callable(init) and callable(update)):
            raise TypeError(f"GradientTransformation takes two functions; got {describe(init)} and {describe(update)}")
        return cls._pair(init, update)

    def init(self, params: Any) -> Any:
        """Return the state before the first step, for parameters or `jax.ShapeDtypeStruct`s.

        Outside jit the state is placed on the devices of the parameters.
        """
        with refusals_name(self.name):
            return finished(self._plan.init(params), params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """Return the new updates and the next state.

        Args:
            updates: the gradients, or the updates of the transformation before.
            state: from `init` or the last `update`.
            params: the current parameters.
            **extra: arguments that some transformations need, such as `value`.

        Raises:
            TypeError: the state is not of this transformation; an extra argument is unknown or missing.
            ValueError: a leaf does not fit its parameter; `params` is needed and missing.
        """
        with refusals_name(self.name):
            result = self._plan.update(updates, without_python_numbers(state, updates), params, extra)
        warn_of_integers(updates, params)
        return result

    def step(self, updates: Any, state: Any, params: Any, *, donate: bool = False, **extra: Any) -> tuple[Any, Any]:
        """Return the new parameters, `apply_updates(params, update(...)[0])`, and the next state.

        Outside jit, the first two steps with the same structure, shapes and dtypes run operation by operation, and the
        result is that of `update` and `apply_updates` to the bit. The third one compiles a program for the whole step,
        and all later ones use it, also with other learning rates. Numbers from 0.5 to 2, such as b2, are constants of
        the program: with another b2, a new program is compiled. Compiled, in a program or under jit, XLA may fuse and
        round differently: the last bits depend on how many steps of this kind came before in the process. With a
        schedule, a compiled step waits for the one before, to check the number. Transformations such as `accumulate`,
        where most steps change no parameter, then write nothing in these steps.

        If a function that gradtx does not know takes part, all steps outside jit run operation by operation, since it
        may do something else at each call. Such functions are yours and optax's: schedules, masks, rules, `value_fn`,
        transformations. The same holds for steps with `RowSparse` gradients, with NumPy parameters, on several devices,
        or that cannot be traced. To compile such a step, jit it yourself. Nothing is compiled inside `with
        jax.disable_jit():` or `with gradtx.debug_checks():`.

        Args:
            updates: the gradients.
            state: from `init` or the last step.
            params: the current parameters.
            donate: outside jit, whether a program may write its results into the arrays of `state` and `params`, which
                must not be used afterwards: keep a copy of the start, `jax.tree.map(jnp.copy, params)`. The first step
                is then compiled too. It does nothing under jit, or where one array stands in two places.
            **extra: as in `update`.

        To donate buffers under jit, jit a function that takes `params, state, ...` and returns `params, state`: JAX
        matches donated buffers to results in order. With `jax.jit(tx.step)` both would be copied.

        Raises: as `update`; ValueError or TypeError if an update does not fit its parameter.
        """
        if params is None:
            raise ValueError(f"{self.name}: a step needs the parameters: call step(updates, state, params)")
        plan, state = self._plan, without_python_numbers(state, updates)
        result = self._compiled_step(updates, state, params, extra, donate)
        if result is None:
            with refusals_name(self.name):
                result = plan.update(updates, state, params, extra, step=True)
        warn_of_integers(updates, params)
        return result

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    def __getitem__(self, index: int) -> Callable:
        return (self.init, self.update)[index]

    @property
    def member_name(self) -> str:
        """The name in a chain. For a pair of another library it is the name of the function that made it."""
        made_by = getattr(self._arguments.get("update_fn"), "__qualname__", "<").split(".")[0]
        return self.name if made_by.startswith("<") else made_by

    @property
    def piece(self) -> GradientTransformation:
        """The piece that a recipe returns, for example a chain; for a piece, itself."""
        return self._kept()._cache["piece"]

    @property
    def extras(self) -> Extras:
        """The extra arguments that `update` needs and knows."""
        return self._plan.extras

    @property
    def own_traits(self) -> Traits:
        """The traits that the piece itself declares."""
        return narrowed(self.piece._factory.traits, self.piece._arguments.values())

    @property
    def traits(self) -> Traits:
        """The traits of the piece combined with those of all transformations inside."""
        return self.own_traits.around((inner.traits for inner in self.piece._inside()), self.piece._arguments)

    @property
    def branch(self) -> Branch | None:
        """How a conditional wrapper decides whether its inner transformation runs; None for all others."""
        return self._plan.closures.branch

    @property
    def passes(self) -> Callable[[Any], tuple[GradientTransformation, Any]] | None:
        """For a wrapper that leaves the updates to one transformation: `state -> (it, its state)`; else None."""
        return self._plan.closures.passes

    def leaf_groups(self, params: Any) -> Mapping[int, Group] | None:
        """For a wrapper that treats leaves differently: index of a leaf -> its label and transformation.

        The index counts every leaf of `params`, including None. Leaves that are not trained have no entry. The result
        is None for a transformation that treats all leaves alike.
        """
        groups = self._plan.closures.leaf_groups
        return None if groups is None else groups(params)

    @property
    def _plan(self) -> Piece | Scheduled:
        return self._cache.get("plan") or self._kept()._cache["plan"]

    def _inside(self) -> list[GradientTransformation]:
        return [child for child in self.children.values() if is_transformation(child)]

    def _kept(self) -> GradientTransformation:
        """This value, or a copy with a plan: for one call only."""
        # A value from a factory has its plan. One from a pytree makes it at each call: under a trace the body may
        # compute tracers, and the value may outlive the trace.
        if "plan" in self._cache:
            return self
        inside = {name: child._kept() for name, child in self.children.items() if is_transformation(child)}
        return self.with_children(inside)._built()

    def _built(self) -> GradientTransformation:
        """This value, after running its body and making its plan."""
        self._require_one()
        factory = self._factory
        schedules = {name: value for name, value in self.hypers.items() if is_schedule(value)}
        at_first = {k: at_step(f"{self.name}'s {k}", v, zero_count(), "float32") for k, v in schedules.items()}
        # The body of a piece gets the values of its schedules; the body of a recipe passes the schedules on. Which of
        # the two it is shows only when it runs: the factory remembers it, so all but the first value run it once.
        guess = factory.makes_recipes
        result = self._body({} if guess else at_first)
        factory.makes_recipes = isinstance(result, GradientTransformation)
        if schedules and factory.makes_recipes != guess:
            result = self._body({} if factory.makes_recipes else at_first)
        if isinstance(result, GradientTransformation):
            kept = result._kept()
            self._cache["plan"], self._cache["piece"] = kept._plan, kept.piece
            return self
        wraps = any(marker.wraps for marker in factory.leaves.values())
        traits = narrowed(factory.traits, self._arguments.values())
        combined = traits.around([x.traits for x in self._inside()], self._arguments)
        traits = dataclasses.replace(traits, takes_examples=combined.takes_examples, leafwise=combined.leafwise)
        piece = Piece(self.name, result, traits, wraps=wraps, inside=[x.extras for x in self._inside()])
        self._cache["plan"] = Scheduled(piece, schedules, self._body) if schedules else piece
        self._cache["piece"] = self
        return self

    def _body(self, values: Mapping[str, Any], step: Any = 0) -> Any:
        """The result of the body with the values of schedules at a step: a transformation or closures."""

        def follows(message: str) -> list:
            at_fault = [k for k in values if k in message] or [*values]
            which = ", ".join(f"{k} follows {self.hypers[k]!r}" for k in at_fault)
            return [f"; {which}, and this is step ", step] if which else []

        leaves = self._factory.leaves
        given = {c.name: _delivered(values.get(c.name, c.value), leaves[c.owner].whole) for c in self._slots}
        with says("", follows):
            result = self._factory.run_body(self.with_children(given)._arguments)
        if isinstance(result, tuple) and len(result) in (2, 3) and all(map(callable, result)):
            return Closures(*result)
        if isinstance(result, GradientTransformation | Closures):
            return result
        raise TypeError(f"{self.name} must return (init, update) or a transformation; it returned {result!r}")

    def _require_one(self) -> None:
        """Raise if a hyperparameter is not a scalar: then this is a batch of transformations."""
        for name, value in self.children.items():
            shape = getattr(value, "shape", ())
            if shape != ():
                raise ValueError(
                    f"this {self.name} holds a batch of transformations, {name} has shape {tuple(shape)}: "
                    f"use it in jax.vmap, or take one: jax.tree.map(lambda x: x[0], transformations)"
                )


def require_changeable(who: str, inner: GradientTransformation) -> None:
    """Raise ValueError if the updates of `inner` must be added unchanged."""
    name = inner.traits.sets_params
    if name:
        raise ValueError(
            f"{who} changes the updates of {name}, which must be added unchanged, since they lead to exactly the "
            f"parameters that {name} chose: put {name} outside, {name}({who}(...))"
        )


def is_transformation(value: Any) -> bool:
    """Whether this is a gradtx transformation."""
    return isinstance(value, GradientTransformation)


def _delivered(value: Any, whole: bool) -> Any:
    """A hyperparameter in the form for the closures: a count as an integer, half precision widened to float32."""
    if isinstance(value, float):
        return int(value) if whole and value.is_integer() else value
    if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)):
        return value
    return value.astype("int32") if whole else value.astype("float32") if value.dtype.itemsize < 4 else value
