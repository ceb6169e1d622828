"""gradtx: gradient transformations for JAX, as values.

A transformation is a pair of pure functions, `init(params)` and `update(updates, state, params)`. gradtx keeps it as
the call that made it, so `adam(1e-3)` can be compared, printed, pickled, swept with `jax.vmap` and differentiated.
Recipes such as `adam` are chains of pieces. Wrappers take a transformation and return another one.

Every hyperparameter may be a number, a scalar array, or a schedule. Exceptions: a number that only `init` reads, such
as `initial_scale` of `scale_by_rms`, cannot follow a schedule; nor can numbers of steps, except those of `accumulate`.

Recipes
    sgd (with momentum, nesterov, dampening), adagrad, rmsprop (centered, momentum, bias_correction), adadelta, adam,
    adamw, amsgrad, nadam, adamax, lion. For full batches: rprop, supersab, lbfgs (with a line search).
    With little memory: adafactor, came, adam_mini, novograd, sm3. Against spikes: stable_adamw, adopt,
    spam, stable_spam.
    For hidden matrices, AdamW for the rest: muon, normuon, adamuon, muon2, rmnp, muonclip, dion; with another
    transformation for the rest: polargrad, muonh. With a norm for each kind of leaf: scion.
    Near Adam: nadamw, adamaxw, adabelief, acprop, yogi, radam, adan, adabound, amsbound, sophia, sophia_g.
    Signs, noise, dual averages: sign_sgd, signum, noisy_sgd, madgrad, ftrl.
    In other coordinates: soap, soap_muon, splus, conda; galore, apollo (with a small state). With a preconditioner for
    each side: shampoo, psgd_kron.
    By the size of the parameters: lars, lamb, fromage, adamh (on a sphere), adamp, sgdp. Over steps: diloco, gpa, asgd.
    Without a learning rate: dog, l_dog, dowg, prodigy, dadapt_adamw, cocob; with the loss: polyak_sgd, momo,
    momo_adam. With one that is learnt: sgd_hd, adam_hd.
    With other numerators than Adam's mean: ademamix, simplified_ademamix, qhadam, mars, optimistic_adam. Cautious:
    c_adamw, c_lion, grams. laprop, tiger, optimistic_gradient_descent.
Pieces
    identity, scale, scale_by_learning_rate, set_to_zero, add_decayed_weights, add_noise, zero_nans
    clip_by_value, clip_by_leaf_norm, clip_by_global_norm, clip_by_block_rms, adaptive_grad_clip, clip_by_z_score,
    clip_by_running_max, scale_by_running_norm, scale_by_spam
    normalize_by_update_norm, scale_by_trust_ratio, scale_by_param_block_rms, floor_by_weight_norm, remove_radial,
    centralize, turn_by_learning_rate, limit_growth, hold_still, take_turns
    add_momentum, add_nesterov_momentum, add_damped_momentum, ema
    nesterov_ema, reduce_variance, amplify_slow, scale_by_optimistic_gradient
    divide_by_rms and divide_by_capped_rms (with any numerator), scale_by_previous_rms, scale_by_confidence
    orthogonalize, scale_by_shape, scale_by_dion, scale_by_shampoo, scale_by_psgd_kron (for matrices); scale_to_norm
    accumulate_squares, scale_by_rms, scale_by_stddev, scale_by_adadelta, scale_by_adam, scale_by_amsgrad,
    scale_by_adamax, scale_by_nadam, scale_by_scheduled_nadam, scale_by_lion, scale_by_sign, scale_by_rprop,
    scale_by_supersab, scale_by_lbfgs
    scale_by_cocob, scale_by_momo, scale_by_momo_adam, scale_by_dadapt_adam
    scale_by_belief, scale_by_acprop, scale_by_yogi, scale_by_radam, scale_by_adan, scale_by_adabound,
    scale_by_amsbound, scale_by_madgrad, scale_by_ftrl, scale_by_sophia, scale_by_sophia_g,
    differentially_private_aggregate
    scale_by_backtracking_linesearch, scale_by_zoom_linesearch, value_and_grad_from_state, reduce_on_plateau
Wrappers: which leaves
    masked, freeze, route, partition, per_leaf_learning_rate, on_matrices
    A rule is a glob for the path of a leaf or of a node above it ("layers/*/bias", "**/kernel"), a compiled regular
    expression, or a function of `(path, leaf)`; `masked` and `freeze` also take a tree of bools. Rules are resolved on
    the parameters. A rule that matches no parameter is an error.
Wrappers: when
    accumulate, every, skip_nonfinite, skip_if, skip_spikes
Wrappers: averages and other gradients
    average and averaged, lookahead, schedule_free and eval_params, sam; outer (an optimizer over the steps of another),
    restart
Wrappers: where steps land
    project_onto with the sets of `gradtx.sets`: sphere, box, nonnegative, simplex, stiefel, ...;
    project_scale_invariant; qk_clip (for the weights of attention)
Wrappers: other coordinates
    in_frame with the frames of `gradtx.frames`: identity, matrices, real_and_imaginary, low_rank, eigenbasis
Wrappers: how fast
    adapt_learning_rate with the estimators of `gradtx.rates`
Wrappers: several at once
    add, graft, keep_norm; cautious (no entry against the gradient)
Memory and precision
    store with the codecs of `gradtx.storage`; round_stochastically, compensate, keep_master, split24;
    dynamic_loss_scale and loss_scale; pack and unpack
Second moments: which entries share one
    the values of `gradtx.moments`: full, per_leaf, per_row, per_column, per, blocks, factored, max_of_axes
Sparse rows
    RowSparse, sparse_value_and_grad, sparse_lookup, decay_skipped_rows
Schedules (the first update sees step 0; `+` and `*` combine them; `schedule.plot()` draws one)
    constant_schedule, linear_schedule, polynomial_schedule, exponential_decay, inverse_time_schedule,
    half_life_schedule, inverse_sqrt_schedule, cosine_decay_schedule, cosine_restarts_schedule, cyclic_schedule,
    linear_onecycle_schedule, cosine_onecycle_schedule, warmup_schedule, warmup_constant_schedule,
    warmup_cosine_decay_schedule, warmup_exponential_decay_schedule, warmup_stable_decay_schedule,
    piecewise_constant_schedule, piecewise_interpolate_schedule, join_schedules, product_schedules, sum_schedules
Around a transformation
    chain; inject and set_hyperparameters; hyperparameters; set_count; apply_updates; global_norm; sweep;
    `tx.step(grads, state, params)`, which is `update` and `apply_updates` in one
Inspection
    plan (before training), watch and readings (during training), explain (one step), stages; progress;
    debug_checks (ranges of hyperparameters under jit); passport (what is known and measured of a transformation)
Devices
    state_shardings, zero_shardings, factored_sharding, owner_sharding; split_over; owners (of matrices)
As text
    parse (the inverse of `repr`), to_dict and from_dict (for JSON and YAML)
Write your own
    transformation, schedule, Hyper, Number, Count, Steps, map_leaves, zeros, full, EmptyState
Names for annotations, as in optax
    GradientTransformationExtraArgs, OptState, Params, Updates, ScalarOrSchedule, MaskedNode

Modules that are imported on first use: `gradtx.catalog` (usual values, ranges, sources and names in other libraries),
`gradtx.checkpoint`, `gradtx.compat` (optax, torch, keras), `gradtx.plots`, `gradtx.testing` (the laws, for your own
transformations), `gradtx.writers`.
"""

import sys as _sys
from importlib import import_module as _import_module

if getattr(_sys, "argv", [])[:1] == ["-m"] and "gradtx" in _sys.orig_argv:  # Ctrl-C during the imports below
    _import_module("gradtx.apps.interrupt").install()

from gradtx.annotations import (
    GradientTransformationExtraArgs,
    MaskedNode,
    OptState,
    Params,
    ScalarOrSchedule,
    Updates,
)
from gradtx.core.chain import chain
from gradtx.core.hyper import Count, Hyper, Number, Steps
from gradtx.core.leaves import apply_updates, full, map_leaves, zeros
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Schedule, function_schedule, product_schedules, schedule, sum_schedules
from gradtx.core.states import EmptyState, HyperparametersState
from gradtx.core.transformation import Transformation, foreign, transformation
from gradtx.debugging import debug_checks
from gradtx.eager import compile_steps as _compile_steps
from gradtx.errors import suggestion as _suggestion
from gradtx.export import register_states as _register_states
from gradtx.inspection.explain import Explanation, explain
from gradtx.inspection.findings import Finding
from gradtx.inspection.on_mesh import OnDevice
from gradtx.inspection.plan import LeafPlan, Plan, plan
from gradtx.inspection.readings import Readings, readings
from gradtx.inspection.stages import stages
from gradtx.inspection.watch import watch
from gradtx.inspection.watch_state import WatchState
from gradtx.optimizers.adabound import ScaleByAmsboundState, adabound, amsbound, scale_by_adabound, scale_by_amsbound
from gradtx.optimizers.adadelta import ScaleByAdadeltaState, adadelta, scale_by_adadelta
from gradtx.optimizers.adafactor import adafactor
from gradtx.optimizers.adagrad import AccumulateSquaresState, accumulate_squares, adagrad, sm3
from gradtx.optimizers.adam import ScaleByAdamState, adam, adamw, scale_by_adam, scale_by_nadam
from gradtx.optimizers.adam_mini import adam_mini
from gradtx.optimizers.adamax import ScaleByAdamaxState, adamax, adamaxw, scale_by_adamax
from gradtx.optimizers.adan import ScaleByAdanState, adan, scale_by_adan
from gradtx.optimizers.ademamix import ademamix, simplified_ademamix
from gradtx.optimizers.adopt import ScaleByPreviousRmsState, adopt, scale_by_previous_rms
from gradtx.optimizers.amsgrad import ScaleByAmsgradState, amsgrad, scale_by_amsgrad
from gradtx.optimizers.belief import ScaleByBeliefState, acprop, adabelief, scale_by_acprop, scale_by_belief
from gradtx.optimizers.came import ScaleByConfidenceState, came, scale_by_confidence
from gradtx.optimizers.caution import c_adamw, c_lion, grams
from gradtx.optimizers.cocob import ScaleByCocobState, cocob, scale_by_cocob
from gradtx.optimizers.conda import conda
from gradtx.optimizers.dadapt import ScaleByDadaptAdamState, dadapt_adamw, scale_by_dadapt_adam
from gradtx.optimizers.dion import ScaleByDionState, dion, scale_by_dion
from gradtx.optimizers.ftrl import ScaleByFtrlState, ftrl, scale_by_ftrl
from gradtx.optimizers.hypergradient import adam_hd, sgd_hd
from gradtx.optimizers.laprop import laprop
from gradtx.optimizers.lbfgs import ScaleByLbfgsState, lbfgs, scale_by_lbfgs
from gradtx.optimizers.lion import ScaleByLionState, lion, scale_by_lion
from gradtx.optimizers.low_rank import apollo, galore
from gradtx.optimizers.madgrad import ScaleByMadgradState, madgrad, scale_by_madgrad
from gradtx.optimizers.mars import mars
from gradtx.optimizers.momo import (
    ScaleByMomoAdamState,
    ScaleByMomoState,
    momo,
    momo_adam,
    scale_by_momo,
    scale_by_momo_adam,
)
from gradtx.optimizers.muon import muon, muonh, polargrad
from gradtx.optimizers.muon_moments import adamuon, muon2, normuon, rmnp
from gradtx.optimizers.muonclip import muonclip
from gradtx.optimizers.nadam import ScaleByScheduledNadamState, nadam, nadamw, scale_by_scheduled_nadam
from gradtx.optimizers.novograd import novograd
from gradtx.optimizers.optimistic import optimistic_adam, optimistic_gradient_descent
from gradtx.optimizers.over_steps import adamh, asgd, diloco, gpa
from gradtx.optimizers.psgd import ScaleByPsgdKronState, psgd_kron, scale_by_psgd_kron
from gradtx.optimizers.qhadam import qhadam
from gradtx.optimizers.radam import radam, scale_by_radam
from gradtx.optimizers.rate_free import dog, dowg, l_dog, polyak_sgd, prodigy
from gradtx.optimizers.rmsprop import ScaleByRmsState, ScaleByStddevState, rmsprop, scale_by_rms, scale_by_stddev
from gradtx.optimizers.rprop import (
    ScaleByRpropState,
    ScaleBySupersabState,
    rprop,
    scale_by_rprop,
    scale_by_supersab,
    supersab,
)
from gradtx.optimizers.scale_invariant import ProjectScaleInvariantState, adamp, project_scale_invariant, sgdp
from gradtx.optimizers.scion import scion
from gradtx.optimizers.sgd import noisy_sgd, sgd
from gradtx.optimizers.shampoo import ScaleByShampooState, scale_by_shampoo, shampoo
from gradtx.optimizers.sign_sgd import sign_sgd, signum
from gradtx.optimizers.soap import soap, soap_muon
from gradtx.optimizers.sophia import (
    ScaleBySophiaGState,
    ScaleBySophiaState,
    scale_by_sophia,
    scale_by_sophia_g,
    sophia,
    sophia_g,
)
from gradtx.optimizers.spam import ScaleBySpamState, scale_by_spam, spam, stable_spam
from gradtx.optimizers.splus import splus
from gradtx.optimizers.stable_adamw import stable_adamw
from gradtx.optimizers.tiger import tiger
from gradtx.optimizers.trust_ratio import fromage, lamb, lars, turn_by_learning_rate
from gradtx.optimizers.yogi import scale_by_yogi, yogi
from gradtx.other_shardings import factored_sharding, owner_sharding
from gradtx.packing import Packed, pack, unpack
from gradtx.passports.passport import Passport, passport
from gradtx.precision.compensate import CompensateState, compensate
from gradtx.precision.loss_scale import DynamicLossScaleState, dynamic_loss_scale, loss_scale
from gradtx.precision.master import KeepMasterState, keep_master
from gradtx.precision.rounding import RoundStochasticallyState, round_stochastically
from gradtx.precision.split import Split24State, split24
from gradtx.progress import Progress, progress
from gradtx.rates.adapt import AdaptLearningRateState, adapt_learning_rate
from gradtx.schedules.cycles import (
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    linear_onecycle_schedule,
)
from gradtx.schedules.decay import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    inverse_sqrt_schedule,
    inverse_time_schedule,
    linear_schedule,
    polynomial_schedule,
)
from gradtx.schedules.half_life import half_life_schedule
from gradtx.schedules.piecewise import join_schedules, piecewise_constant_schedule, piecewise_interpolate_schedule
from gradtx.schedules.warmup import (
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
    warmup_schedule,
    warmup_stable_decay_schedule,
)
from gradtx.sharding import state_shardings, zero_shardings
from gradtx.sparse.lookup import sparse_lookup, sparse_value_and_grad
from gradtx.sparse.rows import RowSparse
from gradtx.sparse.skipped_rows import DecaySkippedRowsState, decay_skipped_rows
from gradtx.storage.store import StoreState, store
from gradtx.sweep import sweep
from gradtx.text import from_dict, parse, to_dict
from gradtx.transforms.adaptive_clipping import ClipByZScoreState, adaptive_grad_clip, clip_by_z_score
from gradtx.transforms.backtracking import (
    BacktrackingLinesearchInfo,
    ScaleByBacktrackingLinesearchState,
    scale_by_backtracking_linesearch,
)
from gradtx.transforms.basic import identity, scale, scale_by_learning_rate, scale_by_sign, set_to_zero
from gradtx.transforms.clipping import clip_by_block_rms, clip_by_global_norm, clip_by_leaf_norm, clip_by_value
from gradtx.transforms.filters import (
    AmplifySlowState,
    NesterovEmaState,
    PreviousGradientState,
    amplify_slow,
    nesterov_ema,
    reduce_variance,
    scale_by_optimistic_gradient,
)
from gradtx.transforms.from_state import value_and_grad_from_state
from gradtx.transforms.growth import HoldStillState, LimitGrowthState, hold_still, limit_growth
from gradtx.transforms.momentum import (
    AddDampedMomentumState,
    AddMomentumState,
    EmaState,
    add_damped_momentum,
    add_momentum,
    add_nesterov_momentum,
    ema,
)
from gradtx.transforms.noise import AddNoiseState, add_noise
from gradtx.transforms.normalize import (
    ZeroNansState,
    centralize,
    normalize_by_update_norm,
    scale_by_trust_ratio,
    zero_nans,
)
from gradtx.transforms.norms import global_norm
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.transforms.owners import owners
from gradtx.transforms.parameter_scale import scale_by_param_block_rms
from gradtx.transforms.plateau import ReduceOnPlateauState, reduce_on_plateau
from gradtx.transforms.privacy import DifferentiallyPrivateAggregateState, differentially_private_aggregate
from gradtx.transforms.radial import floor_by_weight_norm, remove_radial
from gradtx.transforms.ratio import DivideByCappedRmsState, DivideByRmsState, divide_by_capped_rms, divide_by_rms
from gradtx.transforms.spikes import (
    ClipByRunningMaxState,
    ScaleByRunningNormState,
    clip_by_running_max,
    scale_by_running_norm,
)
from gradtx.transforms.split import split_over
from gradtx.transforms.turns import take_turns
from gradtx.transforms.unit import scale_to_norm
from gradtx.transforms.zoom import ScaleByZoomLinesearchState, ZoomLinesearchInfo, scale_by_zoom_linesearch
from gradtx.wrappers.accumulate import AccumulateState, accumulate
from gradtx.wrappers.attention import qk_clip
from gradtx.wrappers.average import AverageState, average, averaged
from gradtx.wrappers.branches import add
from gradtx.wrappers.cautious import cautious
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.every import EveryState, every
from gradtx.wrappers.frame import InFrameState, in_frame
from gradtx.wrappers.graft import GraftState, graft, keep_norm
from gradtx.wrappers.hyperparameters import hyperparameters, set_count, set_hyperparameters
from gradtx.wrappers.inject import InjectState, inject
from gradtx.wrappers.lookahead import LookaheadState, lookahead
from gradtx.wrappers.masked import freeze, masked
from gradtx.wrappers.on_matrices import on_matrices
from gradtx.wrappers.outer import OuterState, outer
from gradtx.wrappers.partition import partition, per_leaf_learning_rate, route
from gradtx.wrappers.project_onto import ProjectOntoState, project_onto
from gradtx.wrappers.restart import RestartState, restart
from gradtx.wrappers.sam import sam
from gradtx.wrappers.schedule_free import ScheduleFreeState, eval_params, schedule_free
from gradtx.wrappers.skip import SkipSpikesState, SkipState, skip_if, skip_nonfinite, skip_spikes

__version__ = "0.1.0"

__all__ = [
    "AccumulateSquaresState",
    "AccumulateState",
    "AdaptLearningRateState",
    "AddDampedMomentumState",
    "AddMomentumState",
    "AddNoiseState",
    "AmplifySlowState",
    "AverageState",
    "BacktrackingLinesearchInfo",
    "ClipByRunningMaxState",
    "ClipByZScoreState",
    "CompensateState",
    "Count",
    "DecaySkippedRowsState",
    "DifferentiallyPrivateAggregateState",
    "DivideByCappedRmsState",
    "DivideByRmsState",
    "DynamicLossScaleState",
    "EmaState",
    "EmptyState",
    "EveryState",
    "Explanation",
    "Finding",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "GraftState",
    "HoldStillState",
    "Hyper",
    "HyperparametersState",
    "InFrameState",
    "InjectState",
    "KeepMasterState",
    "LeafPlan",
    "LimitGrowthState",
    "LookaheadState",
    "MaskedNode",
    "NesterovEmaState",
    "Number",
    "OnDevice",
    "OptState",
    "OuterState",
    "Packed",
    "Params",
    "Passport",
    "Plan",
    "PreviousGradientState",
    "Progress",
    "ProjectOntoState",
    "ProjectScaleInvariantState",
    "Readings",
    "ReduceOnPlateauState",
    "RestartState",
    "RoundStochasticallyState",
    "RowSparse",
    "ScalarOrSchedule",
    "ScaleByAdadeltaState",
    "ScaleByAdamState",
    "ScaleByAdamaxState",
    "ScaleByAdanState",
    "ScaleByAmsboundState",
    "ScaleByAmsgradState",
    "ScaleByBacktrackingLinesearchState",
    "ScaleByBeliefState",
    "ScaleByCocobState",
    "ScaleByConfidenceState",
    "ScaleByDadaptAdamState",
    "ScaleByDionState",
    "ScaleByFtrlState",
    "ScaleByLbfgsState",
    "ScaleByLionState",
    "ScaleByMadgradState",
    "ScaleByMomoAdamState",
    "ScaleByMomoState",
    "ScaleByPreviousRmsState",
    "ScaleByPsgdKronState",
    "ScaleByRmsState",
    "ScaleByRpropState",
    "ScaleByRunningNormState",
    "ScaleByScheduledNadamState",
    "ScaleByShampooState",
    "ScaleBySophiaGState",
    "ScaleBySophiaState",
    "ScaleBySpamState",
    "ScaleByStddevState",
    "ScaleBySupersabState",
    "ScaleByZoomLinesearchState",
    "Schedule",
    "ScheduleFreeState",
    "SkipSpikesState",
    "SkipState",
    "Split24State",
    "Steps",
    "StoreState",
    "Transformation",
    "Updates",
    "WatchState",
    "ZeroNansState",
    "ZoomLinesearchInfo",
    "accumulate",
    "accumulate_squares",
    "acprop",
    "adabelief",
    "adabound",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adam_hd",
    "adam_mini",
    "adamax",
    "adamaxw",
    "adamh",
    "adamp",
    "adamuon",
    "adamw",
    "adan",
    "adapt_learning_rate",
    "adaptive_grad_clip",
    "add",
    "add_damped_momentum",
    "add_decayed_weights",
    "add_momentum",
    "add_nesterov_momentum",
    "add_noise",
    "ademamix",
    "adopt",
    "amplify_slow",
    "amsbound",
    "amsgrad",
    "apollo",
    "apply_updates",
    "asgd",
    "average",
    "averaged",
    "c_adamw",
    "c_lion",
    "came",
    "cautious",
    "centralize",
    "chain",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_leaf_norm",
    "clip_by_running_max",
    "clip_by_value",
    "clip_by_z_score",
    "cocob",
    "compensate",
    "conda",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "cosine_restarts_schedule",
    "cyclic_schedule",
    "dadapt_adamw",
    "debug_checks",
    "decay_skipped_rows",
    "differentially_private_aggregate",
    "diloco",
    "dion",
    "divide_by_capped_rms",
    "divide_by_rms",
    "dog",
    "dowg",
    "dynamic_loss_scale",
    "ema",
    "eval_params",
    "every",
    "explain",
    "exponential_decay",
    "factored_sharding",
    "floor_by_weight_norm",
    "foreign",
    "freeze",
    "from_dict",
    "fromage",
    "ftrl",
    "full",
    "function_schedule",
    "galore",
    "global_norm",
    "gpa",
    "graft",
    "grams",
    "half_life_schedule",
    "hold_still",
    "hyperparameters",
    "identity",
    "in_frame",
    "inject",
    "inverse_sqrt_schedule",
    "inverse_time_schedule",
    "join_schedules",
    "keep_master",
    "keep_norm",
    "l_dog",
    "lamb",
    "laprop",
    "lars",
    "lbfgs",
    "limit_growth",
    "linear_onecycle_schedule",
    "linear_schedule",
    "lion",
    "lookahead",
    "loss_scale",
    "madgrad",
    "map_leaves",
    "mars",
    "masked",
    "momo",
    "momo_adam",
    "muon",
    "muon2",
    "muonclip",
    "muonh",
    "nadam",
    "nadamw",
    "nesterov_ema",
    "noisy_sgd",
    "normalize_by_update_norm",
    "normuon",
    "novograd",
    "on_matrices",
    "optimistic_adam",
    "optimistic_gradient_descent",
    "orthogonalize",
    "outer",
    "owner_sharding",
    "owners",
    "pack",
    "parse",
    "partition",
    "passport",
    "per_leaf_learning_rate",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "plan",
    "polargrad",
    "polyak_sgd",
    "polynomial_schedule",
    "prodigy",
    "product_schedules",
    "progress",
    "project_onto",
    "project_scale_invariant",
    "psgd_kron",
    "qhadam",
    "qk_clip",
    "radam",
    "readings",
    "reduce_on_plateau",
    "reduce_variance",
    "remove_radial",
    "restart",
    "rmnp",
    "rmsprop",
    "round_stochastically",
    "route",
    "rprop",
    "sam",
    "scale",
    "scale_by_acprop",
    "scale_by_adabound",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_adan",
    "scale_by_amsbound",
    "scale_by_amsgrad",
    "scale_by_backtracking_linesearch",
    "scale_by_belief",
    "scale_by_cocob",
    "scale_by_confidence",
    "scale_by_dadapt_adam",
    "scale_by_dion",
    "scale_by_ftrl",
    "scale_by_lbfgs",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_madgrad",
    "scale_by_momo",
    "scale_by_momo_adam",
    "scale_by_nadam",
    "scale_by_optimistic_gradient",
    "scale_by_param_block_rms",
    "scale_by_previous_rms",
    "scale_by_psgd_kron",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_rprop",
    "scale_by_running_norm",
    "scale_by_scheduled_nadam",
    "scale_by_shampoo",
    "scale_by_shape",
    "scale_by_sign",
    "scale_by_sophia",
    "scale_by_sophia_g",
    "scale_by_spam",
    "scale_by_stddev",
    "scale_by_supersab",
    "scale_by_trust_ratio",
    "scale_by_yogi",
    "scale_by_zoom_linesearch",
    "scale_to_norm",
    "schedule",
    "schedule_free",
    "scion",
    "set_count",
    "set_hyperparameters",
    "set_to_zero",
    "sgd",
    "sgd_hd",
    "sgdp",
    "shampoo",
    "sign_sgd",
    "signum",
    "simplified_ademamix",
    "skip_if",
    "skip_nonfinite",
    "skip_spikes",
    "sm3",
    "soap",
    "soap_muon",
    "sophia",
    "sophia_g",
    "spam",
    "sparse_lookup",
    "sparse_value_and_grad",
    "split24",
    "split_over",
    "splus",
    "stable_adamw",
    "stable_spam",
    "stages",
    "state_shardings",
    "store",
    "sum_schedules",
    "supersab",
    "sweep",
    "take_turns",
    "tiger",
    "to_dict",
    "transformation",
    "turn_by_learning_rate",
    "unpack",
    "value_and_grad_from_state",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
    "warmup_schedule",
    "warmup_stable_decay_schedule",
    "watch",
    "yogi",
    "zero_nans",
    "zero_shardings",
    "zeros",
]

_compile_steps()
_register_states()


def __getattr__(name: str):
    """Import `gradtx.checkpoint` and others when they are first used, since they need other packages or time."""
    if name in {"apps", "catalog", "checkpoint", "compat", "plots", "testing", "writers"}:
        return _import_module(f"gradtx.{name}")
    if name.startswith("_"):  # tools ask for many
        raise AttributeError(f"module 'gradtx' has no attribute {name!r}")
    entries = _import_module("gradtx.catalog").ENTRIES.values()
    here = "".join(f": here it is {x.name}" for x in entries if {name, f"contrib.{name}"} & {*x.optax_names})
    if name in {"import_state", "export_state"}:
        here = ": it is in gradtx.compat.optax, .torch and .keras"
    raise AttributeError(f"module 'gradtx' has no attribute {name!r}{here or _suggestion(name, __all__)}")
