"""Cases of which leaves, when, and how fast: each wrapper round Adam, SGD, and a user's own piece.

Round SGD and the user's piece a wrapper stands with its neutral setting.
"""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp

import gradtx
from tests.contract.adding import ADAM, INNER, NAMESPACE, SGD, USER, add


def matrices(path: str, leaf: Any) -> bool:
    """A rule: leaves of two axes."""
    return leaf.ndim == 2


def of_layers(params: Any) -> Any:
    """A mask, as a function of the parameters."""
    return {"gain": False, "layers": True}


def too_large(updates: Any, params: Any, value: Any) -> Any:
    """A predicate: never, with the gradients of the laws."""
    return gradtx.global_norm(updates) > jnp.inf


def halving(step: Any) -> Any:
    """A schedule of multipliers."""
    return 0.5 / (1.0 + step)


def growing(step: Any) -> Any:
    """A schedule of whole numbers."""
    return 1 + step


NAMESPACE.update(growing=growing, matrices=matrices, of_layers=of_layers, too_large=too_large, halving=halving, re=re)
BOTH = {"max_consecutive": None, "check_updates": True, "axis_name": None}
OWN_TREE = {"any_tree": False}

for which, inner in INNER.items():
    neutral = {"neutral": inner}
    add(f"masked-{which}", gradtx.masked, inner=inner, mask="**", case=neutral)
    add(f"freeze-{which}", gradtx.freeze, inner=inner, frozen=False, case=neutral)
    add(f"partition-{which}", gradtx.partition, transforms={"all": inner}, labels="all", case=neutral)
    add(f"route-{which}", gradtx.route, rules={"**": inner}, default=None, case=neutral)
    add(f"skip_nonfinite-{which}", gradtx.skip_nonfinite, inner=inner, **BOTH, case=neutral)
    add(f"skip_if-{which}", gradtx.skip_if, inner=inner, predicate=too_large, axis_name=None, case=neutral)
    add(f"skip_spikes-{which}", gradtx.skip_spikes, inner=inner, k_sigma=1e9, window=2, axis_name=None, case=neutral)

add("freeze", gradtx.freeze, inner=ADAM, frozen=False)
add("partition", gradtx.partition, transforms={"all": ADAM}, labels="all")
add("route", gradtx.route, rules={"**": ADAM}, default=SGD)
add("skip_if", gradtx.skip_if, inner=ADAM, predicate=too_large, axis_name=None)
add("masked", gradtx.masked, inner=ADAM, mask=(re.compile("."),))
add("masked-prefix", gradtx.masked, inner=ADAM, mask={"gain": False, "layers": True}, case=OWN_TREE)
add("masked-function", gradtx.masked, inner=ADAM, mask=of_layers, case={**OWN_TREE, "needs_params": True})
add("masked-predicate", gradtx.masked, inner=ADAM, mask=matrices, case={**OWN_TREE, "needs_params": True})
add(
    "freeze-rule",
    gradtx.freeze,
    inner=gradtx.chain(gradtx.clip_by_value(max_delta=0.5), USER),
    frozen="gain",
    case=OWN_TREE,
)
add(
    "partition-two",
    gradtx.partition,
    transforms={"slow": SGD, "fast": ADAM},
    labels={"gain": "slow", "layers": "fast"},
    case=OWN_TREE,
)
add("route-two", gradtx.route, rules={"layers/*/w": ADAM}, default=USER, case=OWN_TREE)
add("per_leaf_learning_rate", gradtx.per_leaf_learning_rate, multipliers={"**": 0.5}, default=1.0)
add(
    "per_leaf_learning_rate-two",
    gradtx.per_leaf_learning_rate,
    multipliers={"layers": halving},
    default=2.0,
    case=OWN_TREE,
)
add("accumulate", gradtx.accumulate, inner=SGD, steps=2, reduction="mean")
add("accumulate-sum", gradtx.accumulate, inner=USER, steps=3, reduction="sum")
add("accumulate-one", gradtx.accumulate, inner=ADAM, steps=1, reduction="mean", case={"neutral": ADAM})
add("accumulate-scheduled", gradtx.accumulate, inner=ADAM, steps=growing, reduction="mean")
add("skip_nonfinite", gradtx.skip_nonfinite, inner=ADAM, max_consecutive=2, check_updates=True, axis_name=None)
add(
    "skip_nonfinite-gradients",
    gradtx.skip_nonfinite,
    inner=ADAM,
    max_consecutive=None,
    check_updates=False,
    axis_name=None,
)
add("skip_spikes", gradtx.skip_spikes, inner=ADAM, k_sigma=1.0, window=2, axis_name=None)
add("every", gradtx.every, inner=SGD, steps=2, otherwise="zero")
add("every-pass", gradtx.every, inner=USER, steps=3, otherwise="pass")
add("every-one", gradtx.every, inner=ADAM, steps=1, otherwise="zero", case={"neutral": ADAM})
