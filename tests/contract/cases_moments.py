"""Cases of quotients: any numerator over the root of a second moment."""

from __future__ import annotations

import gradtx
from tests.contract.adding import USER, add, falling

ADAM = gradtx.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0)
QUOTIENT = {"b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "bias_correction": True}
UNCORRECTED = {"b2": 0.99, "eps": 0.0, "eps_root": 1e-8, "bias_correction": False}
AVERAGE = gradtx.ema(decay=0.9, debias=True)

add("divide_by_rms", gradtx.divide_by_rms, filter=AVERAGE, **QUOTIENT, case={"neutral": ADAM})
add("divide_by_rms-uncorrected", gradtx.divide_by_rms, filter=gradtx.add_momentum(decay=0.9), **UNCORRECTED)
add("divide_by_rms-user", gradtx.divide_by_rms, filter=USER, **QUOTIENT)
add("divide_by_rms-scheduled", gradtx.divide_by_rms, filter=AVERAGE, **{**QUOTIENT, "b2": falling})
