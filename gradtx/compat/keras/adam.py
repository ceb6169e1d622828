"""Keras' Adam and its kin, as chains of gradtx's pieces."""

from __future__ import annotations

from typing import Any

from gradtx.compat.keras.around import optimizer
from gradtx.compat.keras.pieces import decayed_first, scale_by_adamax_eps_outside, stepped
from gradtx.compat.terms import product, uncorrected
from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.amsgrad import scale_by_amsgrad
from gradtx.optimizers.nadam import scale_by_scheduled_nadam
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.schedules.decay import linear_schedule
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.normalize import scale_by_trust_ratio
from gradtx.transforms.turns import take_turns
from gradtx.wrappers.schedule_free import schedule_free


def corrected_late(b1: Any, b2: Any, eps: Any, amsgrad: bool = False) -> GradientTransformation:
    """Adam's direction with eps added to the root of the uncorrected second moment."""
    eps = uncorrected(eps, b2)
    return scale_by_amsgrad(b1, b2, eps, maximum_of="raw") if amsgrad else scale_by_adam(b1, b2, eps)


@optimizer
def Adam(  # noqa: N802
    learning_rate: Any = 0.001,
    beta_1: Any = 0.9,
    beta_2: float = 0.999,
    epsilon: Any = 1e-7,
    amsgrad: bool = False,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Adam`: epsilon is added to the uncorrected root, amsgrad has the raw maximum; decay is decoupled."""
    return stepped(learning_rate, weight_decay, corrected_late(beta_1, beta_2, epsilon, amsgrad))


@optimizer
def AdamW(  # noqa: N802
    learning_rate: Any = 0.001,
    weight_decay: Any = 0.004,
    beta_1: Any = 0.9,
    beta_2: float = 0.999,
    epsilon: Any = 1e-7,
    amsgrad: bool = False,
) -> GradientTransformation:
    """Keras' `AdamW`: `Adam` whose weight decay is 0.004 unless given."""
    if weight_decay is None:
        raise ValueError("AdamW: weight_decay must be a number; for none use Adam, or give 0.0")
    return stepped(learning_rate, weight_decay, corrected_late(beta_1, beta_2, epsilon, amsgrad))


@optimizer
def Adamax(  # noqa: N802
    learning_rate: Any = 0.001,
    beta_1: Any = 0.9,
    beta_2: Any = 0.999,
    epsilon: Any = 1e-7,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Adamax`: epsilon is added to the maximum."""
    return stepped(learning_rate, weight_decay, scale_by_adamax_eps_outside(beta_1, beta_2, epsilon))


@optimizer
def Nadam(  # noqa: N802
    learning_rate: Any = 0.001,
    beta_1: Any = 0.9,
    beta_2: Any = 0.999,
    epsilon: Any = 1e-7,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Nadam`: the momentum grows as in `gradtx.scale_by_scheduled_nadam(momentum_decay=1.0)`."""
    direction = scale_by_scheduled_nadam(beta_1, beta_2, epsilon, momentum_decay=1.0)
    return stepped(learning_rate, weight_decay, direction)


@optimizer
def Lamb(  # noqa: N802
    learning_rate: Any = 0.001,
    beta_1: Any = 0.9,
    beta_2: Any = 0.999,
    epsilon: Any = 1e-7,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Lamb`: weight decay is outside the trust ratio, which sees the decayed parameters."""
    adam = scale_by_adam(beta_1, beta_2, epsilon)
    step = chain(adam, take_turns(), scale_by_trust_ratio(), scale_by_learning_rate(learning_rate))
    return decayed_first(step, learning_rate, weight_decay)


@optimizer
def ScheduleFreeAdamW(  # noqa: N802
    learning_rate: Any = 0.0025,
    beta_1: Any = 0.9,
    beta_2: Any = 0.999,
    epsilon: Any = 1e-8,
    warmup_steps: int = 0,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `ScheduleFreeAdamW`: all steps have the same weight; read the parameters with `gradtx.eval_params`.

    Keras evaluates the model where gradients are taken, and has no function for the average.
    """
    rate = learning_rate
    if warmup_steps:
        rate = product(rate, linear_schedule(1.0 / warmup_steps, 1.0, max(warmup_steps - 1, 1)))
    scaled = scale_by_rms(beta_2, epsilon, eps_in_sqrt=False, bias_correction=True)
    step = schedule_free(chain(scaled, scale_by_learning_rate(rate)), 1.0, beta_1, weight_lr_power=0.0)
    return decayed_first(step, learning_rate, weight_decay)
