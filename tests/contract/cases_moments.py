"""Cases of quotients: any numerator over the root of a second moment."""

from __future__ import annotations

import gradtx
from gradtx import moments
from gradtx.catalog import ENTRIES
from tests.contract.adding import USER, add, falling

ADAM = gradtx.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
FULL = {"moment": moments.full()}
QUOTIENT = {"b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "bias_correction": True, **FULL}
UNCORRECTED = {"b2": 0.99, "eps": 0.0, "eps_root": 1e-8, "bias_correction": False, **FULL}
AVERAGE = gradtx.ema(decay=0.9, debias=True)

add("divide_by_rms", gradtx.divide_by_rms, filter=AVERAGE, **QUOTIENT, case={"neutral": ADAM})
add("divide_by_rms-uncorrected", gradtx.divide_by_rms, filter=gradtx.add_momentum(decay=0.9), **UNCORRECTED)
add("divide_by_rms-user", gradtx.divide_by_rms, filter=USER, **QUOTIENT)
add("divide_by_rms-scheduled", gradtx.divide_by_rms, filter=AVERAGE, **{**QUOTIENT, "b2": falling})

for moment in (moments.per_row(), moments.per_column(0), moments.blocks(2)):  # none of these takes a scalar
    inner = gradtx.divide_by_rms(AVERAGE, **{**QUOTIENT, "moment": moment})
    which = type(moment).__name__.lower()
    add(f"masked-{which}", gradtx.masked, inner=inner, mask="layers", case={"any_tree": False})

DECAY = gradtx.add_decayed_weights(weight_decay=0.1, mask=None)
CORRECTED = gradtx.divide_by_rms(gradtx.ema(decay=0.9, debias=True), 0.99, 1e-8)
for which, (filter, threshold, after, case) in {
    "": (AVERAGE, 1.0, gradtx.identity(), {}),
    "-decay": (USER, 0.5, DECAY, {"needs_params": True}),
    "-never": (AVERAGE, float("inf"), gradtx.identity(), {"neutral": CORRECTED}),
}.items():
    capped = {"filter": filter, "b2": 0.99, "eps": 1e-8, "threshold": threshold, "after": after}
    add(f"divide_by_capped_rms{which}", gradtx.divide_by_capped_rms, **capped, case=case)

# At zero gradients derivatives are as large as 1/√eps, in each step.
wide = {"moment": moments.factored(1e-8, axes=(-2, -1)), "residual_moment": moments.factored(1e-8, axes=(-2, -1))}
usual = {**ENTRIES["came"].arguments(), **wide}
add("came", gradtx.came, **usual, case={"needs_params": True})
