"""Cases of learnt rates: with a rate that stays 1 round each inner transformation, and with each estimator."""

from __future__ import annotations

import gradtx
from gradtx import rates
from gradtx.catalog import ENTRIES
from tests.contract.adding import ADAM, INNER, NEEDS_PARAMS, SGD, add

SETTINGS = {"learning_rate": 1.0, "gradient_units": ("eps", "eps_root")}
ADAPT = gradtx.adapt_learning_rate

for which, inner in INNER.items():
    neutral = {**NEEDS_PARAMS, "neutral": inner}
    add(
        f"adapt_learning_rate-{which}",
        ADAPT,
        inner=inner,
        estimator=rates.constant(1.0),
        per="tree",
        **SETTINGS,
        case=neutral,
    )
neutral = {**NEEDS_PARAMS, "neutral": ADAM}
add("adapt_learning_rate-leaf", ADAPT, inner=ADAM, estimator=rates.constant(1.0), per="leaf", **SETTINGS, case=neutral)
add(
    "adapt_learning_rate",
    ADAPT,
    inner=SGD,
    estimator=rates.distance(1e-3, 1e-8),
    per="tree",
    **SETTINGS,
    case=NEEDS_PARAMS,
)
tuned = rates.mechanic((0.9, 0.99), s_init=1e-2, weight_decay=1e-2, eps=1e-8)
add("adapt_learning_rate-mechanic", ADAPT, inner=ADAM, estimator=tuned, per="tree", **SETTINGS, case=NEEDS_PARAMS)
add("adapt_learning_rate-mechanic-leaf", ADAPT, inner=ADAM, estimator=tuned, per="leaf", **SETTINGS, case=NEEDS_PARAMS)

# The first steps are large: single precision would not see the usual ones in the distance that parameters have gone.
# And 1 - 0.999 of a float32 array is off by 1e-5, which bias corrections would cancel.
LARGE = {"reps_rel": 0.01, "init_dist": 0.1, "estim_lr0": 0.1, "b2": 0.99}
for entry in ENTRIES.values():
    for setting in entry.settings if entry.group == "rate-free" else ():
        arguments = entry.arguments(setting)
        arguments |= {name: x for name, x in LARGE.items() if name in arguments}
        needed = dict.fromkeys(entry.make(setting).extras.needed, 1.0)
        name = f"{entry.name}-{setting}" if setting else entry.name
        add(name, entry.factory, **arguments, case={**NEEDS_PARAMS, "extras": needed})
