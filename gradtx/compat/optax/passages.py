"""What optax calls the fields of gradtx's states, where the names are others or the numbers have another form.

States whose fields have the same names in both need no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.compat.optax.conversions import (
    ANY,
    FINITE,
    PAIRS,
    ROOTS,
    SQUEEZED,
    WEIGHTS,
    Via,
    averaged,
    by_axis,
    by_leaf,
    each,
    either,
    mean_square,
    next_slot,
    summed,
    variance,
)

NO_COUNT = ("", 0)


class Passage(NamedTuple):
    """The fields of one of optax's states, and where gradtx has them.

    fields: `ours=theirs`, in the order of gradtx's fields, which may be of several states; `ours` alone if both have
    that name. count: optax's name of the number of updates, and what is to be taken from it to have gradtx's. via: for
    fields of gradtx whose form is another. kept: fields of optax's state that gradtx has no use for, for they follow
    from the rest or from the arguments: name -> how they follow from (fields, count); None if they never change.
    """

    fields: str = ""
    count: tuple[str, int] = ("count", 0)
    via: Mapping[str, Via] = {}
    kept: Mapping[str, Callable[[Mapping[str, Any], Any], Any] | None] = {}

    @property
    def links(self) -> list[tuple[str, str]]:
        """(ours, theirs), in order."""
        pairs = [word.partition("=") for word in self.fields.split()]
        return [(ours, theirs or ours) for ours, _, theirs in pairs]


PASSAGES: Mapping[str, Passage] = {
    "EmaState": Passage("mu=ema"),
    "AddNoiseState": Passage("key=rng_key"),
    "ScaleByAdanState": Passage("m v n g", count=("t", 0)),
    "ScaleByNovogradState": Passage("nu trace=mu", via={"nu": SQUEEZED}),
    "ScaleBySM3State": Passage("sum_of_squares=mu mu=nu", via={"sum_of_squares": Via(by_axis, by_leaf)}),
    "FactoredState": Passage(
        "row=v_row column=v_col full=v",
        via={
            "row": Via(either("v_col"), either("column")),
            "column": Via(either("v_row"), either("row")),
            "full": Via(either("v"), either("full")),
        },
    ),
    "ScaleByLBFGSState": Passage(
        "slot=count params updates diff_params_memory diff_updates_memory weights_memory",
        via={
            "slot": Via(next_slot, lambda _, side: side.fields["count"]),
            "diff_params_memory": PAIRS,
            "diff_updates_memory": PAIRS,
            "weights_memory": WEIGHTS,
        },
    ),
    "ScaleByOptimisticGradientState": Passage(
        "previous_gradient", kept={"is_initial_step": lambda _, count: count == 0}
    ),
    "ScaleByAdemamixState": Passage("nu mu=m1 mu=m2", kept={"count_m2": lambda _, count: count}),
    "ScaleBySimplifiedAdEMAMixState": Passage("nu=n trace=m", count=("t", 0)),
    "SophiaState": Passage("key mu nu"),
    "MuonState": Passage("mu", kept={"ns_coeffs": None}),
    "MomoState": Passage("exp_avg barf gamma", kept={"lb": None}),
    "MomoAdamState": Passage("exp_avg exp_avg_sq barf gamma", kept={"lb": None}),
    "DoGState": Passage(
        "init_params max_dist norm=sum_sq_norm_grads",
        via={
            "max_dist": Via(lambda x, side: jnp.where(side.fields["is_init_step"], side.like, x), lambda x, _: x),
            "norm": ROOTS,
        },
        kept={"is_init_step": lambda fields, _: fields["norm"] == 0},
    ),
    "DoWGState": Passage(
        "init_params max_dist=estim_sq_dist norm=weighted_sq_norm_grads", via={"max_dist": ROOTS, "norm": ROOTS}
    ),
    "ScaleByDistanceOverGradientsState": Passage("init_params max_dist norm=grad_sum_of_squares", via={"norm": ROOTS}),
    "ProdigyState": Passage("params0 grad_sum estim_lr numerator_weighted nu=exp_avg_sq mu=exp_avg"),
    "ScaleByRStdDevState": Passage("mu nu", via={"nu": Via(variance, mean_square)}),
    # What optax calls the sum of subgradients is that of their sizes, and the other the sum, with the sign turned.
    "COCOBState": Passage(
        "init_particles cumulative_gradients=subgradients scale subgradients=cumulative_gradients reward",
        via={"subgradients": Via(*[each(lambda _, x: None if x is None else -x)] * 2)},
    ),
    "ReduceLROnPlateauState": Passage(
        "scale best_value plateau_count cooldown_count count avg_value", NO_COUNT, {"best_value": FINITE}
    ),
    "ScheduleFreeState": Passage("b1 weight_sum max_learning_rate=max_lr z", count=("step_count", 1)),
    "MultiStepsState": Passage(
        "mini_step step=gradient_step accumulated=acc_grads",
        via={"accumulated": Via(summed, averaged)},
        kept={"skip_state": None},
    ),
    "ApplyIfFiniteState": Passage(
        "skipped=total_notfinite consecutive=notfinite_count",
        kept={"last_finite": lambda fields, _: fields["consecutive"] == 0},
    ),
    "ZeroNansState": Passage("count=found_nan", NO_COUNT, {"count": ANY}),  # of the last update only
    "LookaheadState": Passage("steps_since_sync slow"),
}
"""The name of the type of optax's state -> where gradtx has its fields."""

INLINE = ("hessian_fn_state",)
"""Fields of optax's states whose states belong to the state that has them."""

REFUSED = {
    "ScaleByRStdDevWithCountState": "gradtx keeps corrected means and the variance, which may be below 0 in optax",
    "ScaleByRpropState": "optax keeps the last updates, and gradtx the last signs, which belong to another step",
    "GaLoreState": "optax keeps another basis, along the longer side of each matrix",
    "ConditionallyTransformState": "optax decides by the step, and gradtx counts from the last update that ran",
    "ConditionallyMaskState": "optax decides by the step, and gradtx counts what it has skipped",
    "MechanicState": "optax keeps the first parameters, and gradtx the sum of the updates",
    "SAMState": "optax spends several updates on a step, and keeps what belongs to them",
}
"""States of optax that cannot be carried over, and why."""

KNOWN = frozenset(
    f"ScaleBy{name}State" for name in ("Adam", "Adamax", "Adan", "Amsgrad", "Belief", "Lion", "Rms", "Rprop")
) | {"EmaState"}
"""States of pieces whose names say the same in both libraries, so that one of them is not another."""

ALSO = {("ScaleByAdamState", "ScaleByAdamaxState")}
"""(optax's, gradtx's) of these that are the same: optax has one type for both."""

SKIPPING = {"MultiStepsState", "ApplyIfFiniteState"}
"""States of optax around others that do not run in every update, so that counts inside and outside differ."""

IN_PARAMS = frozenset({"slow"})
"""Fields that optax keeps in the parameters."""

LABELS = {"muon": "matrices", "adam": "others"}
"""Labels of optax's recipes -> the names here."""

FRESH = {
    ("AdaptLearningRateState", "rate"),
    ("ProjectOntoState", "start"),
    ("ScaleByBacktrackingLinesearchState", "untried"),
    ("BacktrackingLinesearchInfo", "failed"),
    ("ZoomLinesearchInfo", "failed"),
}
"""Fields of gradtx's states that optax has not, and that begin as in a new state: they say what the last step did, or
what the set of a projection keeps of the parameters."""

OTHER_COUNTS = {"EveryState", "ZeroNansState", "ReduceOnPlateauState", "ClipByZScoreState"}
"""States of gradtx whose count is not the number of updates."""
