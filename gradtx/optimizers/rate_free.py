"""Gradient descent whose learning rate is learnt: DoG, layer-wise DoG, DoWG."""

from __future__ import annotations

from gradtx import rates
from gradtx.core.hyper import Hyper, Number
from gradtx.core.transformation import transformation
from gradtx.optimizers.sgd import sgd
from gradtx.rates.adapt import adapt_learning_rate


@transformation
def dog(learning_rate: Hyper = 1.0, reps_rel: Number = 1e-6, eps: Number = 1e-8):
    """DoG, distance over gradients: `sgd` with the rate that `rates.distance` learns.

    Args:
        learning_rate: a factor of the learnt rate, for a schedule; at least 0.
        reps_rel, eps: as in `rates.distance`.

    State: `AdaptLearningRateState`. Its update needs `params`.
    Source: Ivgi et al. 2023 (arXiv:2302.12022), equation 1. optax's `contrib.dog`, which can also be given the length
        of the first step.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.distance(reps_rel, eps))


@transformation
def l_dog(learning_rate: Hyper = 1.0, reps_rel: Number = 1e-6, eps: Number = 1e-8):
    """L-DoG, layer-wise distance over gradients: `dog` with a rate of its own for each leaf.

    Args:
        learning_rate: a factor of the learnt rates, for a schedule; at least 0.
        reps_rel, eps: as in `rates.distance`.

    State: `AdaptLearningRateState`. Its update needs `params`.
    Source: Ivgi et al. 2023 (arXiv:2302.12022), section 3.3. optax's `scale_by_distance_over_gradients`, which keeps
        the parameters at the start in float32, whatever their type.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.distance(reps_rel, eps), per="leaf")


@transformation
def dowg(learning_rate: Hyper = 1.0, init_dist: Number = 1e-2, eps: Number = 1e-4):
    """DoWG, distance over weighted gradients: `sgd` with the rate that `rates.weighted_distance` learns.

    Args:
        learning_rate: a factor of the learnt rate, for a schedule; at least 0.
        init_dist, eps: as in `rates.weighted_distance`.

    State: `AdaptLearningRateState`. Its update needs `params`.
    Source: Khaled et al. 2023 (arXiv:2305.16284), algorithm 1. optax's `contrib.dowg`, which is given the square of the
        first distance.
    """
    return adapt_learning_rate(sgd(learning_rate), rates.weighted_distance(init_dist, eps))
