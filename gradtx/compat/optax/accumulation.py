"""`MultiSteps`, and the functions that say which of its gradients are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

import gradtx
from gradtx.compat.optax.protocol import as_optax, with_protocol
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import foreign
from gradtx.wrappers.accumulate import AccumulateState

__all__ = ["MultiSteps", "MultiStepsState", "ShouldSkipUpdateFunction", "skip_large_updates", "skip_not_finite"]


class ShouldSkipUpdateFunction(Protocol):
    """A function that says whether a gradient is left out."""

    def __call__(self, updates: Any, gradient_step: Any, params: Any) -> tuple[jax.Array, Any]:
        """A bool scalar, and what to keep in `skip_state`."""
        ...


def skip_not_finite(updates: Any, gradient_step: Any, params: Any) -> tuple[jax.Array, Any]:
    """Leave out what is not finite."""
    counts = [jnp.sum(~jnp.isfinite(g)) for g in jax.tree.leaves(updates)]
    number = jnp.sum(jnp.array(counts))
    return number > 0, {"should_skip": number > 0, "num_not_finite": number}


def skip_large_updates(updates: Any, gradient_step: Any, params: Any, max_squared_norm: Any) -> tuple[jax.Array, Any]:
    """Leave out what has a larger norm, or one that is not a number."""
    square = gradtx.global_norm(updates) ** 2
    skip = ~(square < max_squared_norm)
    return skip, {"should_skip": skip, "norm_squared": square}


class MultiStepsState(NamedTuple):
    """The state of `MultiSteps`.

    mini_step: gradients since the last step. gradient_step: steps so far. inner_opt_state: that inside.
    acc_grads: the sum of the gradients since the last step; after a step it still holds the last sum, which the next
    gradient replaces. skip_state: what `should_skip_update_fn` said.
    """

    mini_step: jax.Array
    gradient_step: jax.Array
    inner_opt_state: Any
    acc_grads: Any
    skip_state: Any = ()


class MultiSteps:
    """`gradtx.accumulate` in optax's form: one step from the gradients of several batches."""

    def __init__(
        self,
        opt: Any,
        every_k_schedule: int | Callable[[Any], Any],
        use_grad_mean: bool = True,
        should_skip_update_fn: ShouldSkipUpdateFunction | Callable | None = None,
        accumulator_dtype: Any = jnp.float32,
    ):
        self._opt, self._skips = as_optax("opt", opt), should_skip_update_fn
        self._tx = gradtx.accumulate(self._opt, every_k_schedule, reduction="mean" if use_grad_mean else "sum")
        self._dtype = jnp.dtype(accumulator_dtype)
        if not jnp.issubdtype(self._dtype, jnp.floating):
            raise ValueError(f"MultiSteps: accumulator_dtype must be a dtype of real numbers; got {accumulator_dtype}")

    @property
    def inner_opt(self) -> GradientTransformation:
        """The transformation inside."""
        return self._opt

    def init(self, params: Any) -> MultiStepsState:
        """The state before the first gradient."""
        said = ()
        if self._skips is not None:
            nothing = jax.tree.map(jnp.zeros_like, params)
            said = self._skips(nothing, jnp.zeros((), jnp.int32), params)[1]
        return self._narrow(self._tx.init(params), said)

    def update(self, updates: Any, state: MultiStepsState, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        """The step in every k-th update, and else updates that move nothing."""
        known = self._tx.extras.taken(extra)
        skip, said = (None, ()) if self._skips is None else self._skips(updates, state.gradient_step, params)
        if skip is not None and (skip.dtype, skip.shape) != (jnp.bool_, ()):
            raise ValueError(
                f"The `should_skip_update_fn` function should return a boolean scalar array, but it returned an array "
                f"of dtype {skip.dtype} and shape {skip.shape}"
            )
        ours = AccumulateState(state.mini_step, state.gradient_step, self._wide(state.acc_grads), state.inner_opt_state)
        new, after = with_protocol(self._tx).update(updates, ours, params, **known)
        if skip is not None:
            new = jax.tree.map(lambda u: jnp.where(skip, jnp.full_like(u, -0.0), u), new)
            after = jax.tree.map(lambda old, x: jnp.where(skip, old, x), ours, after)
        return new, self._narrow(after, said)

    def has_updated(self, state: Any) -> jax.Array:
        """Whether the last update made a step."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> GradientTransformation:
        """This as a transformation."""
        return with_protocol(foreign(self.init, self.update))

    def _wide(self, tree: Any) -> Any:
        if self._dtype.itemsize >= 4:
            return tree
        return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == self._dtype else x, tree)

    def _narrow(self, state: AccumulateState, said: Any) -> MultiStepsState:
        total = state.accumulated
        if self._dtype.itemsize < 4:
            total = jax.tree.map(lambda x: x.astype(self._dtype) if x.dtype == jnp.float32 else x, total)
        return MultiStepsState(state.mini_step, state.step, state.inner, total, said)
