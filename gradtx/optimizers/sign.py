"""Optimizers that follow signs: Lion, Rprop, SuperSAB."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.schedule import Hyper, Number
from gradtx.core.transformation import transformation
from gradtx.optimizers.decay import weight_decay_of
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.sign import scale_by_lion
from gradtx.transforms.steps import scale_by_rprop, scale_by_supersab


@transformation
def lion(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.99, *, weight_decay: Hyper = 1e-3, mask: Any = None):
    """Lion: `scale_by_lion`, `add_decayed_weights`, then the rate over both.

    Args:
        learning_rate: at least 0; a tenth to a third of Adam's.
        b1, b2: as in `scale_by_lion`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByLionState`. Its update needs `params`.
    Source: Chen et al. 2023 (arXiv:2302.06675), algorithm 2. Defaults as optax.
    """
    return chain(scale_by_lion(b1, b2), weight_decay_of(weight_decay, mask), scale_by_learning_rate(learning_rate))


@transformation
def rprop(
    learning_rate: Number = 1e-3,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    min_step_size: Hyper = 1e-6,
    max_step_size: Hyper = 50.0,
):
    """Rprop: `scale_by_rprop`, with the minus of descent. For full batches.

    Args:
        learning_rate: the first step size of every entry; greater than 0. It cannot follow a schedule.
        eta_minus, eta_plus, min_step_size, max_step_size: as in `scale_by_rprop`.

    State: a chain's dict, with one entry: `ScaleByRpropState`.
    Source: Riedmiller & Braun 1993. As torch's, whose rate is 1e-2; optax 0.2.8 is a step late.
    """
    return chain(scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size), scale(-1.0))


@transformation
def supersab(
    learning_rate: Number = 1e-2,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.05,
    momentum: Hyper = 0.9,
    min_learning_rate: Hyper = 1e-6,
    max_learning_rate: Hyper = 10.0,
):
    """SuperSAB: `scale_by_supersab`, with the minus of descent. For full batches.

    Args:
        learning_rate: the first rate of every entry; greater than 0. It cannot follow a schedule.
        eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate: as in `scale_by_supersab`.

    State: a chain's dict, with one entry: `ScaleBySupersabState`.
    Source: Tollenaere 1990.
    """
    scaling = scale_by_supersab(learning_rate, eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate)
    return chain(scaling, scale(-1.0))
