"""Cases of what holds several transformations at once, or bends the step of one to another."""

from __future__ import annotations

import gradtx
from tests.contract.adding import ADAM, INNER, SGD, USER, add

MOMENTUM = gradtx.sgd(learning_rate=0.1, momentum=0.9, nesterov=False, dampening=None)
SIGNED = gradtx.scale_by_sign()
WHOLE = {"axis_name": None}

add("add", gradtx.add, gradtx.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0), gradtx.ema(decay=0.9))
add("add-named", gradtx.add, SGD, gradtx.chain(gradtx.clip_by_value(max_delta=1.0), SGD), own=USER)
add("graft", gradtx.graft, direction=ADAM, magnitude=MOMENTUM, per="leaf", through=None, **WHOLE)
add("keep_norm", gradtx.keep_norm, inner=SIGNED, per="leaf", **WHOLE)
add("cautious", gradtx.cautious, inner=MOMENTUM, floor=1e-3, sign=None, **WHOLE)
add("cautious-user", gradtx.cautious, inner=USER, floor=0.5, sign=-1, **WHOLE)

for which, inner in INNER.items():
    add(f"add-{which}", gradtx.add, inner, case={"neutral": inner})
for per, inner in {"leaf": ADAM, "channel": MOMENTUM, "entry": USER, "tree": ADAM, 0: SGD}.items():
    neutral = {"neutral": inner}
    add(
        f"graft-{per}-neutral",
        gradtx.graft,
        direction=inner,
        magnitude=inner,
        per=per,
        through=None,
        **WHOLE,
        case=neutral,
    )
