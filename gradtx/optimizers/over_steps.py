"""Optimizers that look at whole steps: on a sphere, over the steps of another, or averaged."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Count, Hyper, Number
from gradtx.core.schedule import schedule
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, non_negative
from gradtx.optimizers.adam import adamw, scale_by_adam
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.optimizers.sgd import sgd
from gradtx.sets.balls import sphere
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.normalize import scale_by_trust_ratio
from gradtx.wrappers.average import average
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.outer import outer
from gradtx.wrappers.project_onto import project_onto
from gradtx.wrappers.schedule_free import schedule_free


@transformation
def adamh(learning_rate: Hyper = 0.018, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8):
    """Hyperball Adam: `scale_by_adam`, `scale_by_trust_ratio`, `scale_by_learning_rate`, projected onto `sphere()`.

    Every parameter keeps its initial norm, so there is no weight decay; a step turns it by at most arcsin
    learning_rate. It is for matrices that do not start at 0. Route the others:
    `route({"**/kernel": adamh(), "**": adam(1e-3)})`. The same round another direction, such as that of Muon, is
    written in the same way.

    Args:
        learning_rate: at least 0; the relative length of a step.
        b1, b2, eps: as in `scale_by_adam`.

    State: a `ProjectOntoState`. Its update needs `params`.
    Source: 2606.16899 on arXiv, Hyperball; learning_rate as there. Not in optax. HeavyBall keeps the first norm, as
        here; others take the last, which drifts. Within 40 ulp of the largest parameter over 1,000 steps in float32.
    """
    direction = chain(scale_by_adam(b1, b2, eps), scale_by_trust_ratio(), scale_by_learning_rate(learning_rate))
    return project_onto(direction, sphere())


@transformation
def diloco(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 1e-2,
    mask: Any = None,
    outer_learning_rate: Hyper = 0.7,
    outer_momentum: Hyper = 0.9,
    every: Count = 500,
):
    """DiLoCo with one worker: `adamw`, and over its steps `sgd` with Nesterov's momentum, by `outer`.

    Args:
        learning_rate: at least 0; that of `adamw`.
        b1, b2, eps, weight_decay, mask: as in `adamw`.
        outer_learning_rate: the share of the way that the slow weights go; at least 0.
        outer_momentum: the momentum of the slow weights; in [0, 1].
        every: updates between two outer steps; a whole number, at least 1. Speed runs use 30, with outer_momentum 0.5.

    State: an `OuterState`. Its update needs `params`.
    Source: Douillard et al. 2023 (arXiv:2311.08105), algorithm 1 and section 3; defaults as there. Not in optax.
        Another inner optimizer is `outer(tx, sgd(0.7, 0.9, nesterov=True), 500)`. Within 100 ulp of the largest
        parameter so far over 1,000 steps in float32.
    """
    non_negative(outer_learning_rate=outer_learning_rate)
    in_unit_interval(outer_momentum=outer_momentum)
    inner = adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)
    return outer(inner, sgd(outer_learning_rate, outer_momentum, nesterov=True), every)


@schedule
def asgd_rate(learning_rate: Number, decay: Number, power: Number):
    """The learning rate of `asgd`.

        learning_rate/(1 + decay·learning_rate·step)^power

    Args:
        learning_rate: at step 0; finite, at least 0.
        decay, power: finite, at least 0.

    Source: torch's `ASGD`.

    Example:
        >>> from gradtx.optimizers.over_steps import asgd_rate
        >>> print(asgd_rate(0.5, decay=2.0, power=1.0)(3))
        0.125
    """
    non_negative(learning_rate=learning_rate, decay=decay, power=power)
    return lambda step: learning_rate * (1.0 + decay * learning_rate * step) ** -power


@transformation
def asgd(learning_rate: Number = 1e-2, decay: Number = 1e-4, power: Number = 0.75, start: Count = 1_000_000):
    """Averaged gradient descent: `add_decayed_weights`, a rate that falls, and `average`.

        η = learning_rate/(1 + decay·learning_rate·t)^power        t: updates so far

    `averaged(state)` is the mean of the parameters after `start` updates. The parameters themselves do not change with
    it.

    Args:
        learning_rate: that of the first step; at least 0. It cannot be a schedule.
        decay: as in `add_decayed_weights`, and how fast the rate falls; at least 0.
        power: how fast the rate falls; at least 0.
        start: updates before the average begins; a whole number, at least 0.

    State: an `AverageState`. Its update needs `params`.
    Source: Polyak & Juditsky 1992, https://doi.org/10.1137/0330046, in the form of Bottou's sgd. torch's `ASGD` with
        lambd = decay, alpha = power, t0 = start - 1; there the rate is always float32. Within 20 ulp of the largest
        parameter so far over 1,000 steps in float32.
    """
    rate = asgd_rate(learning_rate, decay, power)
    return average(chain(add_decayed_weights(decay), scale_by_learning_rate(rate)), start=start)


@transformation
def gpa(
    learning_rate: Hyper,
    average_decay: Hyper = 0.9,
    b1: Hyper = 0.8,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 1e-2,
    mask: Any = None,
):
    """Generalized primal averaging: AdamW without momentum, in `schedule_free` with a constant weight.

    Evaluate the model at the average: `eval_params(state, params)`.

    Args:
        learning_rate: at least 0.
        average_decay, b1: as in `schedule_free`: the weight of the past in the average, and that of the average in the
            point where gradients are taken; μ_x and μ_y of the paper.
        b2, eps: `decay` and `eps` of `scale_by_rms`.
        weight_decay, mask: as in `adamw`.

    State: a `ScheduleFreeState`. Its update needs `params`.
    Source: 2512.17131 on arXiv. Its averages replace the momentum of Adam, so b1 of Adam is 0 here. Not in optax, torch
        or Keras. Within 60 ulp of the largest parameter so far over 1,000 steps in float32.
    """
    below_one(b2=b2)
    inner = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
    return schedule_free(inner, learning_rate, b1, average_decay=average_decay)
