"""Cases of learnt rates: with a rate that stays 1 round each inner transformation, and with each estimator."""

from __future__ import annotations

import gradtx
from gradtx import rates
from tests.contract.adding import ADAM, INNER, NEEDS_PARAMS, SGD, add

SETTINGS = {"learning_rate": 1.0, "gradient_units": ("eps",)}
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

# The first steps are large, or single precision would not see the distance that they go.
for recipe in (gradtx.dog, gradtx.l_dog):
    add(recipe.__name__, recipe, learning_rate=1.0, reps_rel=0.01, eps=1e-8, case=NEEDS_PARAMS)
add("dowg", gradtx.dowg, learning_rate=1.0, init_dist=0.1, eps=1e-4, case=NEEDS_PARAMS)
