"""QHAdam: Adam whose numerator is between the mean and the present gradient."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.momentum import ema
from gradtx.transforms.ratio import divide_by_rms
from gradtx.wrappers.branches import add
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def qhadam(
    learning_rate: Hyper,
    b1: Hyper = 0.995,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    nu: Hyper = 0.7,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """QHAdam: `divide_by_rms` of nu times the mean plus (1 - nu)·g, `add_decayed_weights`, then the rate.

    With nu = 1 it is `adamw`, with nu = 0 RMSProp with bias correction.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1: the weight of the past in the mean, as in `ema`.
        b2, eps: as in `divide_by_rms`.
        nu: the weight of the mean in the numerator, ν₁ of the paper; in [0, 1].
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `DivideByRmsState`. Its update needs `params`.
    Source: Ma & Yarats 2019 (arXiv:1810.06801), algorithm 2, with ν₂ = 1, as the paper recommends: the divisor is
        Adam's. Not in optax. Within 60 ulp of exact arithmetic over 1,000 steps in float32.
    """
    below_one(b1=b1)
    in_unit_interval(nu=nu)
    numerator = add(mean=chain(ema(b1), scale(nu)), now=scale(1.0 + -1.0 * nu))
    return chain(
        divide_by_rms(numerator, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
