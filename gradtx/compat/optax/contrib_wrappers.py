"""optax.contrib's wrappers, under its names, arguments, order and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import gradtx
from gradtx import frames
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.pieces import key_or_seed
from gradtx.compat.optax.protocol import as_optax, optaxed, with_protocol
from gradtx.core.leaves import apply_updates, map_leaves
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Term, at, schedule
from gradtx.core.transformation import foreign
from gradtx.wrappers.lookup import copied

__all__ = [
    "SAMState",
    "differentially_private_aggregate",
    "dpsgd",
    "normalize",
    "sam",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_sgd",
    "split_real_and_imaginary",
]

schedule_free_eval_params = gradtx.eval_params


@schedule
def one_step_later(rate: Term):
    """The value of a schedule at the next step."""
    return lambda step: at(rate, step + 1)


@optaxed
def schedule_free(
    base_optimizer: Any, learning_rate: Any, b1: Any = 0.9, weight_lr_power: Any = 2.0, state_dtype: Any = None
) -> GradientTransformation:
    """`gradtx.schedule_free`, which reads a schedule for the weights one step later than the base optimizer does."""
    rate = one_step_later(learning_rate) if callable(learning_rate) else learning_rate
    return in_dtype(gradtx.schedule_free(base_optimizer, rate, b1, weight_lr_power), state_dtype, "z")


def _warmed_up(learning_rate: Any, warmup_steps: int | None) -> Any:
    return learning_rate if warmup_steps is None else gradtx.warmup_constant_schedule(0.0, learning_rate, warmup_steps)


@optaxed
def schedule_free_sgd(
    learning_rate: Any = 1.0,
    warmup_steps: int | None = None,
    b1: Any = 0.9,
    weight_decay: Any = None,
    weight_lr_power: Any = 2.0,
    state_dtype: Any = None,
) -> GradientTransformation:
    """`schedule_free` around SGD, with a warm-up."""
    rate = _warmed_up(learning_rate, warmup_steps)
    decay = gradtx.identity() if weight_decay is None else gradtx.add_decayed_weights(weight_decay)
    return schedule_free(gradtx.chain(decay, gradtx.sgd(rate)), rate, b1, weight_lr_power, state_dtype)


@optaxed
def schedule_free_adamw(
    learning_rate: Any = 0.0025,
    warmup_steps: int | None = None,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    weight_lr_power: Any = 2.0,
    state_dtype: Any = None,
) -> GradientTransformation:
    """`schedule_free` around AdamW without momentum, with a warm-up."""
    rate = _warmed_up(learning_rate, warmup_steps)
    inner = gradtx.chain(
        gradtx.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        gradtx.add_decayed_weights(weight_decay),
        gradtx.scale_by_learning_rate(rate),
    )
    return schedule_free(inner, rate, b1, weight_lr_power, state_dtype)


@optaxed
def split_real_and_imaginary(inner: Any) -> GradientTransformation:
    """`gradtx.in_frame` with `frames.real_and_imaginary`."""
    return gradtx.in_frame(inner, frames.real_and_imaginary())


@optaxed
def differentially_private_aggregate(
    l2_norm_clip: Any, noise_multiplier: Any, key: Any = None, *, seed: int | None = None
) -> GradientTransformation:
    """`gradtx.differentially_private_aggregate`, with a key or optax's older word for it, seed."""
    given = key_or_seed("differentially_private_aggregate", key, seed)
    return gradtx.differentially_private_aggregate(l2_norm_clip, noise_multiplier, given)


@optaxed
def dpsgd(
    learning_rate: Any,
    l2_norm_clip: Any,
    noise_multiplier: Any,
    seed: int,
    momentum: Any = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """The private mean of the gradients of examples, then `gradtx.sgd`."""
    return gradtx.chain(
        gradtx.differentially_private_aggregate(l2_norm_clip, noise_multiplier, seed),
        gradtx.sgd(learning_rate, momentum, nesterov),
    )


@optaxed
def normalize() -> GradientTransformation:
    """The direction of the gradient, of norm 1: `gradtx.normalize_by_update_norm`."""
    return gradtx.normalize_by_update_norm(1.0, 0.0)


class SAMState(NamedTuple):
    """The state of `sam`: steps since the last one of `optimizer`, the states of both, and the parameters there."""

    steps_since_sync: jax.Array
    opt_state: Any
    adv_state: Any
    cache: Any


def sam(
    optimizer: Any,
    adv_optimizer: Any,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
) -> GradientTransformation:
    """Climb with one optimizer, and take the gradient there for a step of another; `gradtx.sam` for one climbing step.

    In opaque_mode, `update` takes `grad_fn(params, step)` and does all of it; else each update is one step of either.
    """
    if sync_period < 1:
        raise ValueError(f"sam: sync_period must be at least 1; got {sync_period}")
    descent, ascent = as_optax("optimizer", optimizer), as_optax("adv_optimizer", adv_optimizer)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return SAMState(zero, descent.init(params), ascent.init(params), None if opaque_mode else copied(params))

    def climbed(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        up, state = ascent.update(updates, state, params)
        return jax.tree.map(jnp.negative, up), state

    def opaque(updates, state, params=None, *, grad_fn: Callable | None = None, **extra):
        if grad_fn is None:
            raise ValueError("grad_fn must be provided when opaque_mode=True: update(..., grad_fn=...)")
        here, adv_state = params, state.adv_state
        for k in range(sync_period - 1):
            up, adv_state = climbed(updates, adv_state, here)
            here = apply_updates(here, up)
            updates = grad_fn(here, k)
            if batch_axis_name is not None:
                updates = jax.lax.pmean(updates, axis_name=batch_axis_name)
        updates, opt_state = descent.update(updates, state.opt_state, params)
        kept = ascent.init(params) if reset_state else adv_state
        return updates, SAMState(state.steps_since_sync, opt_state, kept, None)

    def in_turns(updates, state, params=None, **extra):
        def down():
            u, opt_state = descent.update(updates, state.opt_state, state.cache)
            u = map_leaves(lambda u, c, w: c - w + u, u, state.cache, params)
            return u, opt_state, ascent.init(params) if reset_state else state.adv_state

        def up():
            u, adv_state = climbed(updates, state.adv_state, params)
            return map_leaves(lambda u: u, u), state.opt_state, adv_state

        cache = jax.tree.map(lambda c, w: jnp.where(state.steps_since_sync == 0, w, c), state.cache, params)
        state = state._replace(cache=cache)
        new, opt_state, adv_state = jax.lax.cond(state.steps_since_sync == sync_period - 1, down, up)
        count = (state.steps_since_sync + 1) % sync_period
        return new, SAMState(count, opt_state, adv_state, cache)

    return with_protocol(foreign(init, opaque if opaque_mode else in_turns))
