"""Adam and the optimizers named after it."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.schedule import Hyper
from gradtx.core.transformation import transformation
from gradtx.optimizers.decay import weight_decay_of
from gradtx.transforms.adam import scale_by_adam, scale_by_adamax, scale_by_amsgrad
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.nadam import scale_by_nadam, scale_by_scheduled_nadam


@transformation
def adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    nesterov: bool = False,
):
    """Adam: `scale_by_adam` (or `scale_by_nadam`), then the rate.

    Args:
        learning_rate: at least 0; 1e-3 is usual.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        nesterov: use `scale_by_nadam`.

    State: a chain's dict, with one entry: `ScaleByAdamState`.
    Source: Kingma & Ba 2015 (arXiv:1412.6980). As optax's and torch's; Keras: eps 1e-7 on the uncorrected root.
    """
    scaling = scale_by_nadam if nesterov else scale_by_adam
    return chain(scaling(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


@transformation
def adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    weight_decay: Hyper = 1e-4,
    mask: Any = None,
    nesterov: bool = False,
):
    """Adam with decoupled weight decay: `scale_by_adam`, `add_decayed_weights`, then the rate over both.

    Args:
        learning_rate: at least 0; 1e-3 is usual.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        nesterov: use `scale_by_nadam`.

    State: a chain's dict, with one entry: `ScaleByAdamState`. Its update needs `params`.
    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), algorithm 2, with the decay multiplied by the rate, as in optax
        (1e-4), torch (1e-2) and Keras (4e-3).
    """
    scaling = scale_by_nadam if nesterov else scale_by_adam
    return chain(
        scaling(b1, b2, eps, eps_root), weight_decay_of(weight_decay, mask), scale_by_learning_rate(learning_rate)
    )


@transformation
def amsgrad(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    maximum_of: str = "corrected",
):
    """AMSGrad: `scale_by_amsgrad`, then the rate.

    Args:
        learning_rate: at least 0; 1e-3 is usual.
        b1, b2, eps, eps_root, maximum_of: as in `scale_by_amsgrad`; torch's is maximum_of="raw".

    State: a chain's dict, with one entry: `ScaleByAmsgradState`.
    Source: Reddi, Kale & Kumar 2018 (arXiv:1904.09237).
    """
    return chain(scale_by_amsgrad(b1, b2, eps, eps_root, maximum_of=maximum_of), scale_by_learning_rate(learning_rate))


@transformation
def nadam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    momentum_decay: Hyper | None = None,
):
    """NAdam: `scale_by_nadam` (or the scheduled one), then the rate.

    Args:
        learning_rate: at least 0; 1e-3 and 2e-3 are usual.
        b1, b2, eps, eps_root: as in `scale_by_nadam`.
        momentum_decay: None for a constant b1 (optax); a number for `scale_by_scheduled_nadam` (torch 0.004, Keras 1).

    State: a chain's dict, with one entry: `ScaleByAdamState` or `ScaleByScheduledNadamState`.
    Source: Dozat 2016.
    """
    if momentum_decay is None:
        scaling = scale_by_nadam(b1, b2, eps, eps_root)
    else:
        scaling = scale_by_scheduled_nadam(b1, b2, eps, eps_root, momentum_decay=momentum_decay)
    return chain(scaling, scale_by_learning_rate(learning_rate))


@transformation
def adamax(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.999, eps: Hyper = 1e-8):
    """AdaMax: `scale_by_adamax`, then the rate.

    Args:
        learning_rate: at least 0; 2e-3 is the paper's.
        b1, b2, eps: as in `scale_by_adamax`.

    State: a chain's dict, with one entry: `ScaleByAdamState`, whose nu is the maximum.
    Source: Kingma & Ba 2015 (arXiv:1412.6980), section 7.1. As optax's and torch's.
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))
