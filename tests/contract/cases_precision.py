"""Cases of parameters in half precision and of scaled losses: each wrapper round Adam, and round a user's own piece.

On float32 parameters the wrappers change nothing; the cases with parameters in half precision are those that do.
"""

from __future__ import annotations

from gradtx.precision.compensate import compensate
from gradtx.precision.loss_scale import dynamic_loss_scale
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import split24
from gradtx.testing.case import cast, plain_params
from tests.contract.adding import ADAM, NEEDS_PARAMS, USER, add

PLAIN = {"compensate": compensate, "keep_master": keep_master, "split24": split24}

for which, inner in {"": ADAM, "-user": USER}.items():
    neutral = {**NEEDS_PARAMS, "neutral": inner}
    add(f"round_stochastically{which}", round_stochastically, inner=inner, key=3, case=neutral)
    for name, wrapper in PLAIN.items():
        add(f"{name}{which}", wrapper, inner=inner, case=neutral)
for dtype in ("bfloat16", "float16"):
    # Derivatives are those of what was rounded: differences see the jumps.
    half = {**NEEDS_PARAMS, "smooth": False, "params": cast(plain_params(), dtype)}
    by_chance = {**half, "rounds": True}
    add(f"round_stochastically-{dtype}", round_stochastically, inner=ADAM, key=3, case=by_chance)
    for name, wrapper in PLAIN.items():
        add(f"{name}-{dtype}", wrapper, inner=ADAM, case=half)
fixed = {"growth_factor": 1.0, "backoff_factor": 1.0, "growth_interval": 1, "min_scale": 1.0, "axis_name": None}
add("dynamic_loss_scale-one", dynamic_loss_scale, inner=USER, initial_scale=1.0, **fixed, case={"neutral": USER})
moving = {"growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 3, "min_scale": 1.0, "axis_name": None}
add("dynamic_loss_scale", dynamic_loss_scale, inner=ADAM, initial_scale=8.0, **moving)
