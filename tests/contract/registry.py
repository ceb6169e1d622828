"""The registry: the cases of the core, of its pieces and recipes here, and of each other family in its own file."""

from __future__ import annotations

import jax.numpy as jnp

import gradtx
from gradtx.testing import Case
from tests.contract import (  # noqa: F401
    cases_averages,
    cases_control,
    cases_norms,
    cases_precision,
    cases_rows,
    cases_search,
    cases_sight,
    cases_storage,
)
from tests.contract.adding import CALLS, CASES, NEEDS_PARAMS, add, average_init, average_update, falling

__all__ = ["CALLS", "CASES"]

COSINE = gradtx.cosine_decay_schedule(init_value=0.1, decay_steps=10, alpha=0.1)
LINEAR = gradtx.linear_schedule(init_value=0.5, end_value=0.9, transition_steps=4, transition_begin=1)
STEPPED = gradtx.exponential_decay(init_value=0.1, transition_steps=2, decay_rate=0.5, staircase=True)
WARMUP = gradtx.warmup_cosine_decay_schedule(
    init_value=0.0, peak_value=0.1, warmup_steps=2, decay_steps=8, end_value=0.01
)

# Pieces
add("identity", gradtx.identity)
add("set_to_zero", gradtx.set_to_zero)
add("scale", gradtx.scale, step_size=-0.5)
add("scale-array", gradtx.scale, step_size=jnp.float32(-0.5))
add("scale-scheduled", gradtx.scale, step_size=STEPPED)
add("scale_by_learning_rate", gradtx.scale_by_learning_rate, learning_rate=0.1, flip_sign=True)
add("scale_by_learning_rate-up", gradtx.scale_by_learning_rate, learning_rate=0.1, flip_sign=False)
add("clip_by_value", gradtx.clip_by_value, max_delta=0.75)
add("clip_by_global_norm", gradtx.clip_by_global_norm, max_norm=0.5, nonfinite="propagate", axis_name=None)
add("add_decayed_weights", gradtx.add_decayed_weights, weight_decay=0.01, case=NEEDS_PARAMS)
add("add_momentum", gradtx.add_momentum, decay=0.9)
add("add_momentum-scheduled", gradtx.add_momentum, decay=LINEAR)
add("add_nesterov_momentum", gradtx.add_nesterov_momentum, decay=0.9)
add("add_damped_momentum", gradtx.add_damped_momentum, decay=0.9, dampening=0.5)
add("ema", gradtx.ema, decay=0.9, debias=True)
add("ema-biased", gradtx.ema, decay=0.9, debias=False)
add("scale_by_sign", gradtx.scale_by_sign)
add("scale_by_lion", gradtx.scale_by_lion, b1=0.9, b2=0.99)
add("accumulate_squares", gradtx.accumulate_squares, initial_accumulator_value=0.1, eps=1e-7, eps_in_sqrt=True)
add("accumulate_squares-outside", gradtx.accumulate_squares, initial_accumulator_value=0.0, eps=0.0, eps_in_sqrt=False)
add("scale_by_adadelta", gradtx.scale_by_adadelta, rho=0.9, eps=1e-6)
add("scale_by_adam", gradtx.scale_by_adam, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
add("scale_by_adam-root", gradtx.scale_by_adam, b1=0.5, b2=0.9, eps=0.0, eps_root=1e-8)
add("scale_by_adam-scheduled", gradtx.scale_by_adam, b1=LINEAR, b2=0.999, eps=1e-8, eps_root=0.0)
amsgrad_numbers = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}
add("scale_by_amsgrad", gradtx.scale_by_amsgrad, **amsgrad_numbers, maximum_of="corrected")
add("scale_by_amsgrad-raw", gradtx.scale_by_amsgrad, **amsgrad_numbers, maximum_of="raw")
add("scale_by_adamax", gradtx.scale_by_adamax, b1=0.9, b2=0.999, eps=1e-8)
add("scale_by_nadam", gradtx.scale_by_nadam, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
add(
    "scale_by_scheduled_nadam",
    gradtx.scale_by_scheduled_nadam,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    momentum_decay=0.004,
)
for piece in (gradtx.scale_by_rms, gradtx.scale_by_stddev):
    name = piece.__name__
    numbers = {"decay": 0.9, "eps": 1e-8, "initial_scale": 0.0}
    add(name, piece, **numbers, eps_in_sqrt=True, bias_correction=False)
    add(f"{name}-outside", piece, **numbers, eps_in_sqrt=False, bias_correction=False)
    add(f"{name}-corrected", piece, **numbers, eps_in_sqrt=False, bias_correction=True)
add(
    "scale_by_rprop",
    gradtx.scale_by_rprop,
    learning_rate=0.01,
    eta_minus=0.5,
    eta_plus=1.2,
    min_step_size=1e-6,
    max_step_size=50.0,
)
add(
    "scale_by_supersab",
    gradtx.scale_by_supersab,
    learning_rate=0.01,
    eta_minus=0.5,
    eta_plus=1.05,
    momentum=0.9,
    min_learning_rate=1e-6,
    max_learning_rate=10.0,
)

# Recipes
add("sgd", gradtx.sgd, learning_rate=0.1, momentum=None, nesterov=False, dampening=None)
add("sgd-scheduled", gradtx.sgd, learning_rate=falling, momentum=None, nesterov=False, dampening=None)
add("sgd-momentum", gradtx.sgd, learning_rate=0.1, momentum=0.9, nesterov=False, dampening=None)
add("sgd-nesterov", gradtx.sgd, learning_rate=0.1, momentum=0.9, nesterov=True, dampening=None)
add("sgd-damped", gradtx.sgd, learning_rate=0.1, momentum=0.9, nesterov=False, dampening=0.5)
adam_numbers = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}
add("adam", gradtx.adam, learning_rate=1e-3, **adam_numbers, nesterov=False)
add("adam-nesterov", gradtx.adam, learning_rate=1e-3, **adam_numbers, nesterov=True)
add("adam-scheduled", gradtx.adam, learning_rate=COSINE, **adam_numbers, nesterov=False)
adamw_numbers = {**adam_numbers, "weight_decay": 1e-2, "mask": None}
add("adamw", gradtx.adamw, learning_rate=1e-3, **adamw_numbers, nesterov=False, case=NEEDS_PARAMS)
add("adamw-scheduled", gradtx.adamw, learning_rate=WARMUP, **adamw_numbers, nesterov=True, case=NEEDS_PARAMS)
add("amsgrad", gradtx.amsgrad, learning_rate=1e-3, **adam_numbers, maximum_of="raw")
add("adamax", gradtx.adamax, learning_rate=2e-3, b1=0.9, b2=0.999, eps=1e-8)
add("nadam", gradtx.nadam, learning_rate=1e-3, **adam_numbers, momentum_decay=None)
add("nadam-rising", gradtx.nadam, learning_rate=1e-3, **adam_numbers, momentum_decay=0.004)
add("adagrad", gradtx.adagrad, learning_rate=0.1, initial_accumulator_value=0.1, eps=1e-7, eps_in_sqrt=True)
add("adadelta", gradtx.adadelta, learning_rate=1.0, rho=0.9, eps=1e-6)
rms_numbers = {"decay": 0.9, "eps": 1e-8, "initial_scale": 0.0, "bias_correction": False}
rms_plain = {**rms_numbers, "eps_in_sqrt": True, "rate_in_momentum": True}
add("rmsprop", gradtx.rmsprop, learning_rate=1e-2, **rms_plain, centered=False, momentum=None, nesterov=False)
add("rmsprop-momentum", gradtx.rmsprop, learning_rate=1e-2, **rms_plain, centered=False, momentum=0.9, nesterov=True)
rms_torch = {**rms_numbers, "eps_in_sqrt": False, "rate_in_momentum": False}
add("rmsprop-centered", gradtx.rmsprop, learning_rate=1e-2, **rms_torch, centered=True, momentum=0.9, nesterov=False)
lion_numbers = {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-2}
add("lion", gradtx.lion, learning_rate=1e-3, **lion_numbers, mask=None, case=NEEDS_PARAMS)
add("lion-masked", gradtx.lion, learning_rate=1e-3, **lion_numbers, mask="**", case=NEEDS_PARAMS)
add(
    "rprop",
    gradtx.rprop,
    learning_rate=0.01,
    eta_minus=0.5,
    eta_plus=1.2,
    min_step_size=1e-6,
    max_step_size=50.0,
)
add(
    "supersab",
    gradtx.supersab,
    learning_rate=0.01,
    eta_minus=0.5,
    eta_plus=1.05,
    momentum=0.9,
    min_learning_rate=1e-6,
    max_learning_rate=10.0,
)

# What holds other transformations
MOMENTUM_STEP = gradtx.chain(gradtx.add_momentum(decay=0.9), gradtx.scale(step_size=-0.1))
add("chain-empty", gradtx.chain)
add("chain", gradtx.chain, gradtx.clip_by_global_norm(max_norm=1.0), MOMENTUM_STEP, gradtx.scale(step_size=2.0))
add("chain-named", gradtx.chain, gradtx.identity(), clip=gradtx.clip_by_value(max_delta=1.0), step=MOMENTUM_STEP)
add("chain-foreign", gradtx.chain, (average_init, average_update), gradtx.scale(step_size=-0.1))
add("foreign", gradtx.foreign, init_fn=average_init, update_fn=average_update)
add("inject", gradtx.inject, inner=gradtx.chain(gradtx.add_momentum(decay=0.9), gradtx.scale(step_size=-0.1)))
add("inject-scheduled", gradtx.inject, inner=gradtx.chain(gradtx.ema(decay=0.9), gradtx.scale(step_size=COSINE)))
CASES["bare_pair"] = Case((average_init, average_update), complex_leaves=True, smooth=True, needs_params=False)
