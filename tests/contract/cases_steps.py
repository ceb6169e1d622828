"""Cases of where steps land and what happens to them over time, round Adam, SGD, and a user's own."""

from __future__ import annotations

import jax.numpy as jnp

import gradtx
from gradtx import sets
from tests.contract.adding import ADAM, INNER, NAMESPACE, NEEDS_PARAMS, SGD, add, falling

NAMESPACE.update({name: getattr(sets, name) for name in sets.__all__})

ALL_THE_WAY = SGD.replace(learning_rate=1.0)
for which, inner in INNER.items():
    neutral = {**NEEDS_PARAMS, "neutral": inner}
    add(f"project_onto-{which}-neutral", gradtx.project_onto, inner=inner, onto=sets.everywhere(), case=neutral)
    add(f"outer-{which}-neutral", gradtx.outer, inner=inner, outer_tx=ALL_THE_WAY, every=2, case=neutral)
    add(f"restart-{which}-neutral", gradtx.restart, inner=inner, every=None, warmup=2, case=neutral)

MATRICES = {"w": jnp.asarray([[0.6, 0.8], [-0.8, 0.6], [0.1, 0.0]], jnp.float32), "v": jnp.ones((1, 2), jnp.float32)}
REAL = {**NEEDS_PARAMS, "complex_leaves": False, "smooth": False}
# Steps that are large beside the rounding of the parameters, which is all the laws may see of it.
LARGE = ADAM.replace(learning_rate=0.5)
add("project_onto", gradtx.project_onto, inner=LARGE, onto=sets.sphere(), case=NEEDS_PARAMS)
add("adamh", gradtx.adamh, learning_rate=0.05, b1=0.9, b2=0.999, eps=1e-8, case=NEEDS_PARAMS)
add("project_onto-ball", gradtx.project_onto, inner=SGD, onto=sets.l2_ball(radius=1.0), case=NEEDS_PARAMS)
for which in (sets.box(lower=-1.0, upper=2.0), sets.simplex(), sets.l1_ball(radius=2.0)):
    name = repr(which).partition("(")[0]
    add(f"project_onto-{name}", gradtx.project_onto, inner=SGD, onto=which, case=REAL)
stiefel = {**NEEDS_PARAMS, "params": MATRICES, "any_tree": False}
add("project_onto-stiefel", gradtx.project_onto, inner=SGD, onto=sets.stiefel(), case=stiefel)

momentum = gradtx.sgd(learning_rate=falling, momentum=0.5, nesterov=True, dampening=None)
add("outer", gradtx.outer, inner=ADAM, outer_tx=momentum, every=2, case=NEEDS_PARAMS)
add("restart", gradtx.restart, inner=ADAM, every=2, warmup=3, case=NEEDS_PARAMS)
how = {"delta": 0.1, "weight_decay": 0.01, "decay_ratio": 0.1, "output_axis": -1}
DIRECTION = gradtx.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
rough = {**NEEDS_PARAMS, "smooth": False}
add("project_scale_invariant", gradtx.project_scale_invariant, inner=DIRECTION, **how, case=rough)
none = {**how, "delta": 0.0, "weight_decay": 0.0}
for which, inner in INNER.items():
    neutral = {**rough, "neutral": inner}
    add(f"project_scale_invariant-{which}-neutral", gradtx.project_scale_invariant, inner=inner, **none, case=neutral)
