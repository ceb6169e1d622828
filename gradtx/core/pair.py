"""The pair `init`/`update` as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp

from gradtx.core.closures import Branch, Closures, Decision, Group
from gradtx.core.joined import names_who_was_asked
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.piece import Extras, Piece
from gradtx.core.placement import placed
from gradtx.core.schedule import Schedule, at_step, is_schedule
from gradtx.core.states import HyperparametersState, require_scheduled
from gradtx.core.values import Value, closed, opened


class GradientTransformation(Value):
    """A pair of pure functions, kept as the call that made it.

    `init(params)` gives the state; `update(updates, state, params)` gives the new updates and the next state. It
    unpacks as that pair, prints as its call, compares and hashes by value, and is a pytree of its hyperparameters.
    """

    __slots__ = ()

    @names_who_was_asked
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
        return self._run("update", updates, state, params, extra)

    def step(self, updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        """The parameters after an update, and the next state: `apply_updates(params, update(...)[0])`.

        Outside jit the same to the bit; under it XLA fuses the two differently, and may round otherwise. Where most
        steps change nothing, as in `accumulate`, nothing is then written for them. JAX gives donated buffers to results
        of their shape in order: jit a function that takes `params, state, ...` and returns `params, state`;
        `jax.jit(tx.step)` itself has them the other way round, and would copy both.

        Raises: as `update`; ValueError or TypeError where an update does not fit its parameter.
        """
        if params is None:
            raise ValueError(f"{self.name}: a step needs the parameters: call step(updates, state, params)")
        return self._run("step", updates, state, params, extra)

    @names_who_was_asked
    def _run(self, how: str, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        plan, scheduled = self._kept()._plan, self._scheduled
        if isinstance(plan, GradientTransformation) or not scheduled:
            return getattr(plan, how)(updates, state, params, **extra)
        values = self._values(state)
        result, inner = getattr(self._with(values), how)(updates, state.inner, params, **extra)
        return result, HyperparametersState(increment(state.count), values, inner)

    def _values(self, state: Any) -> dict[str, Any]:
        """The values of the schedules in the step that begins with this state."""
        scheduled = self._scheduled
        require_scheduled(self.name, scheduled, state)
        count, held = state.count, state.hyperparameters
        return {k: at_step(f"{self.name}'s {k}", v, count, jnp.result_type(held[k])) for k, v in scheduled.items()}

    @property
    def branch(self) -> Branch | None:
        """Of a wrapper that runs its inside in some steps only: what decides when. None for all others."""
        piece, branch = self._recipe(), self._closures.branch
        if branch is None or not piece._scheduled:
            return branch

        def decide(updates: Any, state: Any, params: Any = None, **extra: Any) -> Decision:
            at_this_step = piece._with(piece._values(state))._closures.branch
            assert at_this_step is not None
            return at_this_step.decide(updates, state.inner, params, **extra)

        return Branch(decide)

    def leaf_groups(self, params: Any) -> Mapping[int, Group] | None:
        """Of a wrapper that treats leaves differently: the place of a leaf -> its label and transformation.

        Places count every leaf of `params`, None among them; leaves that are not trained are left out. None for a
        transformation that treats all leaves alike.
        """
        groups = self._closures.leaf_groups
        return None if groups is None else groups(params)

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    @property
    def _label(self) -> str:
        """What a chain calls this member: its name; of another library's, the name of the function that made it."""
        made_by = getattr(self._arguments.get("update_fn"), "__qualname__", "<").split(".")[0]
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
        if isinstance(result, tuple) and len(result) in (2, 3) and all(map(callable, result)):
            result = Closures(*result)
        if isinstance(result, Closures):
            inner = [c.value._extras for c in opened(self).children if is_transformation(c.value)]
            wraps = any(marker.wraps for marker in self._factory.leaves.values())
            sparse_rows = "sparse_rows" in self._factory.traits
            any_leaves = "any_leaves" in self._factory.traits
            return Piece(self.name, result, wraps=wraps, inner=inner, sparse_rows=sparse_rows, any_leaves=any_leaves)
        raise TypeError(f"{self.name} must return (init, update) or a transformation; it returned {result!r}")

    def _has(self, trait: str) -> bool:
        """Whether this trait is declared, of what is inside as well; of another library's nothing is known."""
        piece = self._recipe()
        inner = [c.value for c in opened(piece).children if is_transformation(c.value)]
        return trait in piece._factory.traits and all(value._has(trait) for value in inner)

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
    def _closures(self) -> Closures:
        plan = self._recipe()._kept()._plan
        assert isinstance(plan, Piece)
        return plan.closures

    @property
    def _extras(self) -> Extras:
        plan = self._recipe()._plan
        assert isinstance(plan, Piece)
        return plan.extras

    def _landing(self) -> str | None:
        """The name of what chooses the new parameters by its updates, this or something inside, if there is one."""
        piece = self._recipe()
        if "lands" in piece._factory.traits:
            return piece.name
        inner = (c.value._landing() for c in opened(piece).children if is_transformation(c.value))
        return next((name for name in inner if name), None)

    def _known(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Of the extra arguments that several transformations share, those that this one takes."""
        return extra if self._extras.anything else {k: v for k, v in extra.items() if k in self._extras.known}


def require_not_landing(who: str, inner: GradientTransformation) -> None:
    """Raise ValueError where the updates of what is inside must be added as they are."""
    name = inner._landing()
    if name:
        raise ValueError(
            f"{who} changes the updates of {name}, which lead to values of the parameters that it has chosen: put "
            f"{name} outside, {name}({who}(...))"
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
