"""Hypergradient descent: SGD and Adam whose learning rate is learnt by gradient descent too."""

from __future__ import annotations

from gradtx import rates
from gradtx.core.hyper import Hyper, Number
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative
from gradtx.optimizers.adam import adam
from gradtx.optimizers.sgd import sgd
from gradtx.rates.adapt import adapt_learning_rate


@transformation
def sgd_hd(learning_rate: Number = 1e-3, hyper_rate: Number = 1e-3, max_rate: Number = 1.0):
    """SGD-HD: `sgd` with `rates.hypergradient`.

    Args:
        learning_rate: that of the first step; at least 0.
        hyper_rate, max_rate: as in `rates.hypergradient`.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Baydin et al. 2018 (arXiv:1703.04782), algorithm 4, where the rate has no bounds.
    """
    non_negative(learning_rate=learning_rate)
    return adapt_learning_rate(sgd(1.0), rates.hypergradient(learning_rate, hyper_rate, max_rate))


@transformation
def adam_hd(
    learning_rate: Number = 1e-3,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    *,
    hyper_rate: Number = 1e-7,
    max_rate: Number = 1.0,
):
    """Adam-HD: `adam` with `rates.hypergradient`.

    Args:
        learning_rate: that of the first step; at least 0.
        b1, b2, eps: as in `adam`.
        hyper_rate, max_rate: as in `rates.hypergradient`.

    State: `AdaptLearningRateState`; `state.rate` is the learnt rate. Its update needs `params`.
    Source: Baydin et al. 2018 (arXiv:1703.04782), algorithm 6, where the rate has no bounds.
    """
    non_negative(learning_rate=learning_rate)
    return adapt_learning_rate(adam(1.0, b1, b2, eps), rates.hypergradient(learning_rate, hyper_rate, max_rate))
