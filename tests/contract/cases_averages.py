"""Cases of what averages, looks ahead, or looks uphill: each wrapper round Adam, SGD, and a user's own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx.core.trees import is_none, is_trained
from tests.contract.adding import ADAM, INNER, NAMESPACE, NEEDS_PARAMS, SGD, add, falling


def bowl(params: Any) -> Any:
    """The gradients of half the squared distance from 7."""
    return jax.tree.map(lambda p: p - 7 if is_trained(p) else None, params, is_leaf=is_none)


def take_grad_fn(updates: Any, state: Any, params: Any, *, grad_fn: Any) -> Any:
    """A bare pair's update: the gradients at the parameters, in place of those that came."""
    return grad_fn(params), state


def nothing(params: Any) -> gradtx.EmptyState:
    """A bare pair's init."""
    return gradtx.EmptyState()


NAMESPACE.update(bowl=bowl, take_grad_fn=take_grad_fn, nothing=nothing)
VALUE = {"extras": {"value": 1.0}}
GRAD_FN = {**NEEDS_PARAMS, "extras": {"grad_fn": bowl}}

for which, inner in INNER.items():
    neutral = {**NEEDS_PARAMS, "neutral": inner}
    add(f"average-{which}", gradtx.average, inner=inner, decay=None, start=0, every=1, debias=True, case=neutral)
    settings = {"sync_period": 2, "reset_state": False}
    add(f"lookahead-{which}", gradtx.lookahead, inner=inner, slow_step_size=0.5, **settings, case=NEEDS_PARAMS)
    add(f"lookahead-{which}-neutral", gradtx.lookahead, inner=inner, slow_step_size=1.0, **settings, case=neutral)
    settings = {"learning_rate": 1.0, "b1": 0.9, "weight_lr_power": 2.0, "average_decay": None}
    add(f"schedule_free-{which}", gradtx.schedule_free, inner=inner, **settings, case=NEEDS_PARAMS)
    add(f"sam-{which}", gradtx.sam, inner=inner, rho=0.05, axis_name=None, case=GRAD_FN)
    neutral = {**GRAD_FN, "neutral": gradtx.chain((nothing, take_grad_fn), inner)}
    add(f"sam-{which}-neutral", gradtx.sam, inner=inner, rho=0.0, axis_name=None, case=neutral)

add("average", gradtx.average, inner=ADAM, decay=0.9, start=0, every=1, debias=True, case=NEEDS_PARAMS)
add("average-tail", gradtx.average, inner=SGD, decay=None, start=1, every=2, debias=True, case=NEEDS_PARAMS)
add("average-biased", gradtx.average, inner=SGD, decay=0.4, start=1, every=1, debias=False, case=NEEDS_PARAMS)
add("average-scheduled", gradtx.average, inner=SGD, decay=falling, start=0, every=1, debias=True, case=NEEDS_PARAMS)
array = jnp.float32(0.9)
add("average-array", gradtx.average, inner=SGD, decay=array, start=0, every=1, debias=True, case=NEEDS_PARAMS)
add("lookahead", gradtx.lookahead, inner=ADAM, sync_period=6, slow_step_size=0.5, reset_state=True, case=NEEDS_PARAMS)
falling_rates = {"learning_rate": falling, "weight_lr_power": 2.0, "average_decay": None}
alike = {"learning_rate": 0.0, "weight_lr_power": 0.0}
add("schedule_free", gradtx.schedule_free, inner=SGD, b1=1.0, **alike, average_decay=None, case=NEEDS_PARAMS)
add("schedule_free-constant", gradtx.schedule_free, inner=ADAM, b1=0.8, **alike, average_decay=0.9, case=NEEDS_PARAMS)
add("schedule_free-scheduled", gradtx.schedule_free, inner=SGD, b1=0.9, **falling_rates, case=NEEDS_PARAMS)
add("schedule_free-array", gradtx.schedule_free, inner=SGD, b1=array, **falling_rates, case=NEEDS_PARAMS)
add("sam", gradtx.sam, inner=SGD, rho=falling, axis_name=None, case=GRAD_FN)
bounds = {"rtol": 1e-4, "atol": 0.0, "cooldown": 1}
plateau = {**bounds, "factor": 0.5, "patience": 1, "min_scale": 0.2}
add("reduce_on_plateau", gradtx.reduce_on_plateau, **plateau, accumulation_size=1, case=VALUE)
add("reduce_on_plateau-means", gradtx.reduce_on_plateau, **plateau, accumulation_size=2, case=VALUE)
plateau = {**bounds, "factor": 1.0, "patience": 1, "min_scale": 0.0, "accumulation_size": 1}
neutral = {**VALUE, "neutral": gradtx.identity()}
add("reduce_on_plateau-neutral", gradtx.reduce_on_plateau, **plateau, case=neutral)
