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
    Conversion,
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


class Translation(NamedTuple):
    """The fields of one of optax's states, and where gradtx has them.

    fields: `ours=theirs`, in the order of gradtx's fields, which may be of several states; `ours` alone if both have
    that name. count: optax's name of the number of updates, and the number to subtract from it to have gradtx's.
    conversions: for fields of gradtx that have another form. kept: fields of optax's state that gradtx does not need,
    because they follow from the rest or from the arguments: name -> how they follow from (fields, count); None if they
    never change.
    """

    fields: str = ""
    count: tuple[str, int] = ("count", 0)
    conversions: Mapping[str, Conversion] = {}
    kept: Mapping[str, Callable[[Mapping[str, Any], Any], Any] | None] = {}

    @property
    def links(self) -> list[tuple[str, str]]:
        """(ours, theirs), in order."""
        pairs = [word.partition("=") for word in self.fields.split()]
        return [(ours, theirs or ours) for ours, _, theirs in pairs]


TRANSLATIONS: Mapping[str, Translation] = {
    "EmaState": Translation("mu=ema"),
    "AddNoiseState": Translation("key=rng_key"),
    "ScaleByAdanState": Translation("m v n g", count=("t", 0)),
    "ScaleByNovogradState": Translation("nu trace=mu", conversions={"nu": SQUEEZED}),
    "ScaleBySM3State": Translation(
        "sum_of_squares=mu mu=nu", conversions={"sum_of_squares": Conversion(by_axis, by_leaf)}
    ),
    "FactoredState": Translation(
        "row=v_row column=v_col full=v",
        conversions={
            "row": Conversion(either("v_col"), either("column")),
            "column": Conversion(either("v_row"), either("row")),
            "full": Conversion(either("v"), either("full")),
        },
    ),
    "ScaleByLBFGSState": Translation(
        "slot=count params updates diff_params_memory diff_updates_memory weights_memory",
        conversions={
            "slot": Conversion(next_slot, lambda _, context: context.fields["count"]),
            "diff_params_memory": PAIRS,
            "diff_updates_memory": PAIRS,
            "weights_memory": WEIGHTS,
        },
    ),
    "ScaleByOptimisticGradientState": Translation(
        "previous_gradient", kept={"is_initial_step": lambda _, count: count == 0}
    ),
    "ScaleByAdemamixState": Translation("nu mu=m1 mu=m2", kept={"count_m2": lambda _, count: count}),
    "ScaleBySimplifiedAdEMAMixState": Translation("nu=n trace=m", count=("t", 0)),
    "SophiaState": Translation("key mu nu"),
    "MuonState": Translation("mu", kept={"ns_coeffs": None}),
    "MomoState": Translation("exp_avg barf gamma", kept={"lb": None}),
    "MomoAdamState": Translation("exp_avg exp_avg_sq barf gamma", kept={"lb": None}),
    "DoGState": Translation(
        "init_params max_dist norm=sum_sq_norm_grads",
        conversions={
            "max_dist": Conversion(
                lambda x, context: jnp.where(context.fields["is_init_step"], context.like, x), lambda x, _: x
            ),
            "norm": ROOTS,
        },
        kept={"is_init_step": lambda fields, _: fields["norm"] == 0},
    ),
    "DoWGState": Translation(
        "init_params max_dist=estim_sq_dist norm=weighted_sq_norm_grads", conversions={"max_dist": ROOTS, "norm": ROOTS}
    ),
    "ScaleByDistanceOverGradientsState": Translation(
        "init_params max_dist norm=grad_sum_of_squares", conversions={"norm": ROOTS}
    ),
    "ProdigyState": Translation("params0 grad_sum estim_lr numerator_weighted nu=exp_avg_sq mu=exp_avg"),
    "ScaleByRStdDevState": Translation("mu nu", conversions={"nu": Conversion(variance, mean_square)}),
    # What optax calls the sum of subgradients is that of their sizes, and the other the sum, with the sign turned.
    "COCOBState": Translation(
        "init_particles cumulative_gradients=subgradients scale subgradients=cumulative_gradients reward",
        conversions={"subgradients": Conversion(*[each(lambda _, x: None if x is None else -x)] * 2)},
    ),
    "ReduceLROnPlateauState": Translation(
        "scale best_value plateau_count cooldown_count count avg_value", NO_COUNT, {"best_value": FINITE}
    ),
    "ScheduleFreeState": Translation("b1 weight_sum max_learning_rate=max_lr z", count=("step_count", 1)),
    "MultiStepsState": Translation(
        "mini_step step=gradient_step accumulated=acc_grads",
        conversions={"accumulated": Conversion(summed, averaged)},
        kept={"skip_state": None},
    ),
    "ApplyIfFiniteState": Translation(
        "skipped=total_notfinite consecutive=notfinite_count",
        kept={"last_finite": lambda fields, _: fields["consecutive"] == 0},
    ),
    "ZeroNansState": Translation("count=found_nan", NO_COUNT, {"count": ANY}),  # of the last update only
    "LookaheadState": Translation("steps_since_sync slow"),
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
"""Fields of gradtx's states that optax does not have. They start as in a new state: they describe the last step, or
hold what the set of a projection keeps of the parameters."""

OTHER_COUNTS = {"EveryState", "ZeroNansState", "ReduceOnPlateauState", "ClipByZScoreState"}
"""States of gradtx whose count is not the number of updates."""
