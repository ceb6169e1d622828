"""Optimizers whose learning rate is learnt: DoG, L-DoG, DoWG, Prodigy, and Polyak's rate."""

from __future__ import annotations

from typing import Any

from gradtx import rates
from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.schedule import product_schedules
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative
from gradtx.optimizers.corrections import bias_corrections
from gradtx.optimizers.sgd import sgd
from gradtx.rates.adapt import adapt_learning_rate
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import ema
from gradtx.transforms.ratio import divide_by_rms
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def dog(learning_rate: Hyper = 1.0, *, reps_rel: Number = 1e-6, eps: Number = 1e-8):
    """DoG, distance over gradients: `sgd` with the rate that `rates.distance` learns.

    Args:
        learning_rate: a factor of the learnt rate, for a schedule; at least 0.
        reps_rel, eps: as in `rates.distance`.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Ivgi et al. 2023 (arXiv:2302.12022), equation 1. optax's `contrib.dog`, which can also be given the length
        of the first step.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.distance(reps_rel, eps))


@transformation
def l_dog(learning_rate: Hyper = 1.0, *, reps_rel: Number = 1e-6, eps: Number = 1e-8):
    """L-DoG, layer-wise distance over gradients: `dog` with a rate of its own for each leaf.

    Args:
        learning_rate: a factor of the learnt rates, for a schedule; at least 0.
        reps_rel, eps: as in `rates.distance`.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Ivgi et al. 2023 (arXiv:2302.12022), section 3.3. optax's `scale_by_distance_over_gradients`, which keeps
        the parameters at the start in float32, whatever their type.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.distance(reps_rel, eps), per="leaf")


@transformation
def dowg(learning_rate: Hyper = 1.0, *, init_dist: Number = 1e-2, eps: Number = 1e-4):
    """DoWG, distance over weighted gradients: `sgd` with the rate that `rates.weighted_distance` learns.

    Args:
        learning_rate: a factor of the learnt rate, for a schedule; at least 0.
        init_dist, eps: as in `rates.weighted_distance`.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Khaled et al. 2023 (arXiv:2305.16284), algorithm 1. optax's `contrib.dowg`, which is given the square of the
        first distance.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.weighted_distance(init_dist, eps))


@transformation
def prodigy(
    learning_rate: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Number = 0.999,
    b3: Number | None = None,
    eps: Hyper = 1e-8,
    *,
    estim_lr0: Number = 1e-6,
    estim_lr_coef: Number = 1.0,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
    bias_correction: bool = False,
):
    """Prodigy: AdamW without bias corrections, with the rate that `rates.prodigy` learns.

    The quotient cuts the gradients times the rate at 1.8e19 (float32). Sums of gradients above 3.4e38 are infinite.

    Args:
        learning_rate: a factor of the learnt rate, for a schedule; at least 0.
        b1: the weight of the past in the mean of gradients; in [0, 1).
        b2, eps: as in `divide_by_rms`; eps is multiplied by the rate, as the gradients are.
        b3: as in `rates.prodigy`; None for the root of b2.
        estim_lr0, estim_lr_coef: as in `rates.prodigy`.
        weight_decay: as in `add_decayed_weights`; the learnt rate multiplies it.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        bias_correction: multiply learning_rate by √(1 - b2^t)/(1 - b1^t).

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Mishchenko & Defazio 2023 (arXiv:2306.06101), algorithm 4. optax's `contrib.prodigy` always has the bias
        corrections, and adds eps times the new rate, where the paper has the old one. It is NaN if the first gradients
        are all 0.
    """
    below_one(b1=b1)
    quotient = divide_by_rms(ema(b1, debias=False), b2, eps, bias_correction=False)
    inner = chain(quotient, add_decayed_weights(weight_decay, mask), scale_by_learning_rate(1.0))
    factor = product_schedules(learning_rate, bias_corrections(b1, b2)) if bias_correction else learning_rate
    learnt = rates.prodigy(b2**0.5 if b3 is None else b3, estim_lr0, estim_lr_coef)
    return adapt_learning_rate(inner, learnt, learning_rate=factor)


@transformation
def polyak_sgd(max_learning_rate: Number = 1.0, scaling: Hyper = 1.0, f_min: Number = 0.0, eps: Number = 0.0):
    """SGD with Polyak's rate: `sgd` with `rates.polyak`.

    Args:
        max_learning_rate, f_min, eps: as in `rates.polyak`.
        scaling: a factor of the rate; at least 0.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params` and `value`.
    Source: Loizou et al. 2021 (arXiv:2002.10542), SPS_max. optax's `polyak_sgd(variant="sps+")` with scaling 1; without
        the variant, a loss below f_min leads uphill there. optax takes the norm of the scaled gradients, so that below
        the largest rate its scaling divides the step.
    """
    non_negative(scaling=scaling)
    return adapt_learning_rate(sgd(scaling), rates.polyak(f_min, max_learning_rate, eps))
