"""The registry: the cases written by hand, and one case for each setting of every other piece and recipe.

Cases are written by hand where the catalog does not say enough: for transformations that hold others, or need more than
gradients and parameters.
"""

from __future__ import annotations

import jax.numpy as jnp

import gradtx
from gradtx.catalog import ENTRIES
from gradtx.testing import Case
from tests.contract import (  # noqa: F401
    cases_averages,
    cases_combinators,
    cases_control,
    cases_curvature,
    cases_frames,
    cases_matrices,
    cases_moments,
    cases_precision,
    cases_privacy,
    cases_rates,
    cases_rows,
    cases_search,
    cases_sight,
    cases_steps,
    cases_storage,
)
from tests.contract.adding import CALLS, CASES, add, average_init, average_update, falling

__all__ = ["CALLS", "CASES"]

COSINE = gradtx.cosine_decay_schedule(init_value=0.1, decay_steps=10, alpha=0.1)
LINEAR = gradtx.linear_schedule(init_value=0.5, end_value=0.9, transition_steps=4, transition_begin=1)
STEPPED = gradtx.exponential_decay(init_value=0.1, transition_steps=2, decay_rate=0.5, staircase=True)
WARMUP = gradtx.warmup_cosine_decay_schedule(
    init_value=0.0, peak_value=0.1, warmup_steps=2, decay_steps=8, end_value=0.01
)

by_hand = {call.factory.__name__ for call in CALLS.values()}
for entry in ENTRIES.values():
    if entry.kind in ("piece", "recipe") and entry.name not in by_hand:
        for setting in entry.settings:
            name = f"{entry.name}-{setting}" if setting else entry.name
            add(name, entry.factory, **entry.arguments(setting), case=dict(entry.laws))

# Hyperparameters that are arrays or schedules
for name, arguments in {
    "scale-array": {"step_size": jnp.float32(-0.5)},
    "scale-scheduled": {"step_size": STEPPED},
    "add_momentum-scheduled": {"decay": LINEAR},
    "scale_by_adam-scheduled": {"b1": LINEAR},
    "sgd-scheduled": {"learning_rate": falling},
    "adam-scheduled": {"learning_rate": COSINE},
    "adamw-scheduled": {"learning_rate": WARMUP, "nesterov": True},
}.items():
    entry = ENTRIES[name.partition("-")[0]]
    add(name, entry.factory, **{**entry.arguments(), **arguments}, case=dict(entry.laws))

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
