"""gradtx: gradient transformations for JAX, as values.

A transformation is a pair of pure functions, `init(params)` and `update(updates, state, params)`, kept as the call that
made it: `adam(1e-3)` can be compared, hashed, printed, pickled, swept with `jax.vmap` and differentiated.
"""

import importlib

from gradtx.core.apply import apply_updates
from gradtx.core.chain import chain
from gradtx.core.hyperparameters import hyperparameters, inject, set_hyperparameters
from gradtx.core.leaves import full, map_leaves, zeros
from gradtx.core.norms import global_norm
from gradtx.core.schedule import Hyper, Number, Schedule, function_schedule, schedule
from gradtx.core.transformation import (
    EmptyState,
    GradientTransformation,
    HyperparametersState,
    Transformation,
    foreign,
    transformation,
)
from gradtx.optimizers.adam import adam, adamax, adamw, amsgrad, nadam
from gradtx.optimizers.sgd import sgd
from gradtx.optimizers.sign import lion, rprop, supersab
from gradtx.optimizers.squares import adadelta, adagrad, rmsprop
from gradtx.schedules.decay import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    linear_schedule,
    warmup_cosine_decay_schedule,
)
from gradtx.transforms.adadelta import ScaleByAdadeltaState, scale_by_adadelta
from gradtx.transforms.adam import (
    ScaleByAdamState,
    ScaleByAmsgradState,
    scale_by_adam,
    scale_by_adamax,
    scale_by_amsgrad,
)
from gradtx.transforms.basic import identity, scale, scale_by_learning_rate, set_to_zero
from gradtx.transforms.clipping import clip_by_global_norm, clip_by_value
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.momentum import (
    AddDampedMomentumState,
    AddMomentumState,
    EmaState,
    add_damped_momentum,
    add_momentum,
    add_nesterov_momentum,
    ema,
)
from gradtx.transforms.nadam import ScaleByScheduledNadamState, scale_by_nadam, scale_by_scheduled_nadam
from gradtx.transforms.rms import ScaleByRmsState, ScaleByStddevState, scale_by_rms, scale_by_stddev
from gradtx.transforms.sign import ScaleByLionState, scale_by_lion, scale_by_sign
from gradtx.transforms.squares import AccumulateSquaresState, accumulate_squares
from gradtx.transforms.steps import (
    ScaleByRpropState,
    ScaleBySupersabState,
    scale_by_rprop,
    scale_by_supersab,
)

__version__ = "0.1.0"

__all__ = [
    "AccumulateSquaresState",
    "AddDampedMomentumState",
    "AddMomentumState",
    "EmaState",
    "EmptyState",
    "GradientTransformation",
    "Hyper",
    "HyperparametersState",
    "Number",
    "ScaleByAdadeltaState",
    "ScaleByAdamState",
    "ScaleByAmsgradState",
    "ScaleByLionState",
    "ScaleByRmsState",
    "ScaleByRpropState",
    "ScaleByScheduledNadamState",
    "ScaleByStddevState",
    "ScaleBySupersabState",
    "Schedule",
    "Transformation",
    "accumulate_squares",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "add_damped_momentum",
    "add_decayed_weights",
    "add_momentum",
    "add_nesterov_momentum",
    "amsgrad",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "constant_schedule",
    "cosine_decay_schedule",
    "ema",
    "exponential_decay",
    "foreign",
    "full",
    "function_schedule",
    "global_norm",
    "hyperparameters",
    "identity",
    "inject",
    "linear_schedule",
    "lion",
    "map_leaves",
    "nadam",
    "rmsprop",
    "rprop",
    "scale",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_amsgrad",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_nadam",
    "scale_by_rms",
    "scale_by_rprop",
    "scale_by_scheduled_nadam",
    "scale_by_sign",
    "scale_by_stddev",
    "scale_by_supersab",
    "schedule",
    "set_hyperparameters",
    "set_to_zero",
    "sgd",
    "supersab",
    "transformation",
    "warmup_cosine_decay_schedule",
    "zeros",
]


def __getattr__(name: str):
    """`gradtx.testing` and `gradtx.compat` are imported when first asked for: they lean on other packages."""
    if name in {"compat", "testing"}:
        return importlib.import_module(f"gradtx.{name}")
    raise AttributeError(f"module 'gradtx' has no attribute {name!r}")
