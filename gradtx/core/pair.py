"""The pair `init`/`update` as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from gradtx.core.errors import describe
from gradtx.core.leaves import without_python_numbers
from gradtx.core.numerics import zero_count
from gradtx.core.plan import Extras, Piece, Plan, Scheduled
from gradtx.core.schedule import Schedule, at_step, is_schedule
from gradtx.core.special import RefusedError
from gradtx.core.states import finished
from gradtx.core.traits import Branch, Closures, Group, Traits
from gradtx.core.values import Value


class GradientTransformation(Value):
    """A pair of pure functions, kept as the call that made it.

    `init(params)` gives the state; `update(updates, state, params)` gives the new updates and the next state. It
    unpacks as that pair, prints as its call, compares and hashes by value, and is a pytree of its hyperparameters.
    """

    __slots__ = ()
    _pair: ClassVar[Callable[[Any, Any], GradientTransformation]]  # set where `foreign` is made, which stands on this

    def __new__(cls, init: Any, update: Any) -> GradientTransformation:
        """A transformation from two functions, as optax's constructor of this name makes one."""
        if not (callable(init) and callable(update)):
            raise TypeError(f"GradientTransformation takes two functions; got {describe(init)} and {describe(update)}")
        return cls._pair(init, update)

    def init(self, params: Any) -> Any:
        """The state before the first step, for parameters or `jax.ShapeDtypeStruct`s; outside jit, where they lie."""
        try:
            return finished(self._plan.init(params), params)
        except RefusedError as error:
            error.asked = self.name
            raise

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """Transform the updates (at first: the gradients) and step the state; `params` are the current parameters.

        Raises:
            TypeError: where the state is not this transformation's, an extra argument is unknown or missing.
            ValueError: where a leaf does not fit its parameter, or `params` is needed and was not given.
        """
        try:
            return self._plan.update(updates, without_python_numbers(state, updates), params, extra)
        except RefusedError as error:
            error.asked = self.name
            raise

    def step(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """The parameters after an update, and the next state: `apply_updates(params, update(...)[0])`.

        Outside jit the same to the bit; under it XLA fuses the two differently, and may round otherwise. Where most
        steps change nothing, as in `accumulate`, nothing is then written for them. JAX gives donated buffers to results
        of their shape in order: jit a function that takes `params, state, ...` and returns `params, state`;
        `jax.jit(tx.step)` itself has them the other way around, and would copy both.

        Raises: as `update`; ValueError or TypeError where an update does not fit its parameter.
        """
        if params is None:
            raise ValueError(f"{self.name}: a step needs the parameters: call step(updates, state, params)")
        try:
            return self._plan.step(updates, without_python_numbers(state, updates), params, extra)
        except RefusedError as error:
            error.asked = self.name
            raise

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    def __getitem__(self, index: int) -> Callable:
        return (self.init, self.update)[index]

    @property
    def member_name(self) -> str:
        """What a chain calls this member: its name; of another library's, the name of the function that made it."""
        made_by = getattr(self._arguments.get("update_fn"), "__qualname__", "<").split(".")[0]
        return self.name if made_by.startswith("<") else made_by

    @property
    def piece(self) -> GradientTransformation:
        """The piece at the end of a recipe, a chain for example; a piece itself."""
        return self._kept()._cache["piece"]

    @property
    def extras(self) -> Extras:
        """The extra arguments of `update`: those it needs, those it knows, and whether it takes any."""
        return self._plan.extras

    @property
    def own_traits(self) -> Traits:
        """The traits that the piece declares, whatever is inside."""
        return self.piece._factory.traits

    @property
    def traits(self) -> Traits:
        """The traits of the piece, combined with those of everything inside."""
        return self.own_traits.around(inner.traits for inner in self.piece._inside())

    @property
    def branch(self) -> Branch | None:
        """Of a wrapper that runs its inside in some steps only: what decides when. None for all others."""
        return self._plan.closures.branch

    @property
    def passes(self) -> Callable[[Any], tuple[GradientTransformation, Any]] | None:
        """Of a wrapper that leaves the updates to one transformation: `state -> (that transformation, its state)`.

        None for all others.
        """
        return self._plan.closures.passes

    def leaf_groups(self, params: Any) -> Mapping[int, Group] | None:
        """Of a wrapper that treats leaves differently: the place of a leaf -> its label and transformation.

        Places count every leaf of `params`, None among them; leaves that are not trained are left out. None for a
        transformation that treats all leaves alike.
        """
        groups = self._plan.closures.leaf_groups
        return None if groups is None else groups(params)

    @property
    def _plan(self) -> Plan:
        """What runs when this is called."""
        return self._cache.get("plan") or self._kept()._cache["plan"]

    def _inside(self) -> list[GradientTransformation]:
        return [child for child in self.children.values() if is_transformation(child)]

    def _kept(self) -> GradientTransformation:
        """This value with its plan, and those of the values inside it, kept: for the length of one call."""
        # Only factories keep a plan with a value for good. A value that came out of a pytree is built anew each time:
        # what its body computes under a trace belongs to that trace, and the value may outlive it.
        if "plan" in self._cache:
            return self
        inside = {name: child._kept() for name, child in self.children.items() if is_transformation(child)}
        return self.with_children(inside)._built()

    def _built(self) -> GradientTransformation:
        """This value, after its body has run and its plan was made."""
        self._require_one()
        schedules, factory = self._schedules(), self._factory
        at_first = {k: at_step(f"{self.name}'s {k}", v, zero_count(), "float32") for k, v in schedules.items()}
        # The body of a piece does arithmetic on numbers, that of a recipe passes its schedules on.
        recipe = schedules and factory.makes_recipes
        result = self._body({} if recipe else at_first)
        factory.makes_recipes = isinstance(result, GradientTransformation)
        if factory.makes_recipes != bool(recipe) and schedules:  # the first scheduled value of this factory
            result = self._body({} if factory.makes_recipes else at_first)
        if isinstance(result, GradientTransformation):
            kept = result._kept()
            self._cache["plan"], self._cache["piece"] = kept._plan, kept.piece
            return self
        wraps = any(marker.wraps for marker in factory.leaves.values())
        piece = Piece(self.name, result, factory.traits, wraps=wraps, inside=[x.extras for x in self._inside()])
        self._cache["plan"] = Scheduled(piece, schedules, self._body) if schedules else piece
        self._cache["piece"] = self
        return self

    def _schedules(self) -> dict[str, Schedule]:
        """The schedules that the core follows, by name; one that stands for anything but a `Hyper` is the body's."""
        leaves = self._factory.leaves
        return {c.name: c.value for c in self._slots if is_schedule(c.value) and leaves[c.owner].follows}

    def _body(self, values: Mapping[str, Any]) -> Any:
        """What the body returns for these values of hyperparameters: a transformation, or its closures."""
        leaves = self._factory.leaves
        given = {c.name: _delivered(values.get(c.name, c.value), leaves[c.owner].whole) for c in self._slots}
        try:
            args, kwargs = self._factory.spread(self.with_children(given)._arguments)
            result = self._factory.body(*args, **kwargs)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if isinstance(result, tuple) and len(result) in (2, 3) and all(map(callable, result)):
            return Closures(*result)
        if isinstance(result, GradientTransformation | Closures):
            return result
        raise TypeError(f"{self.name} must return (init, update) or a transformation; it returned {result!r}")

    def _require_one(self) -> None:
        """Raise where a hyperparameter holds several numbers: then this is a batch of transformations."""
        for name, value in self.children.items():
            shape = getattr(value, "shape", ())
            if shape != ():
                held = f"this {self.name} holds a batch of transformations, {name} has shape {tuple(shape)}"
                raise ValueError(
                    f"{held}: use it in jax.vmap, or take one: jax.tree.map(lambda x: x[0], transformations)"
                )


def require_changeable(who: str, inner: GradientTransformation) -> None:
    """Raise ValueError where the updates of what is inside must be added as they are."""
    name = inner.traits.sets_params
    if name:
        raise ValueError(
            f"{who} changes the updates of {name}, which must be added as they are, since they lead to exactly the "
            f"parameters that {name} chose: put {name} outside, {name}({who}(...))"
        )


def is_transformation(value: Any) -> bool:
    """Whether this is a gradtx transformation; the `is_leaf` for walking arguments."""
    return isinstance(value, GradientTransformation)


def _delivered(value: Any, whole: bool) -> Any:
    """As the closures see it: counts as whole numbers; no scalar of half precision, which would round what it meets."""
    if isinstance(value, float):
        return int(value) if whole and value.is_integer() else value
    if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)):
        return value
    return value.astype("int32") if whole else value.astype("float32") if value.dtype.itemsize < 4 else value
