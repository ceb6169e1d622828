"""Cases of what looks on and changes nothing: round a second moment, and round a chain with a clip and a schedule."""

from __future__ import annotations

import gradtx
from tests.contract.adding import NEEDS_PARAMS, add, falling

SETTINGS = {"window": 2, "sample": 16, "groups": None, "bins": (-8.0, 4.0, 6)}
RMS = gradtx.scale_by_rms(decay=0.9, eps=1e-8, initial_scale=0.0, eps_in_sqrt=True, bias_correction=False)
CLIPPED = gradtx.chain(gradtx.clip_by_global_norm(max_norm=0.5), gradtx.sgd(learning_rate=falling))

watched = {**NEEDS_PARAMS, "neutral": RMS}
add("watch", gradtx.watch, inner=RMS, **SETTINGS, every=2, previous=True, case=watched)
watched = {**NEEDS_PARAMS, "neutral": CLIPPED}
add("watch-chain", gradtx.watch, inner=CLIPPED, **SETTINGS, every=1, previous=False, case=watched)
