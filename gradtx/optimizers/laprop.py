"""LaProp: gradients are divided first, and averaged after."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import ema
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def laprop(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-15,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """LaProp: `scale_by_rms` with bias correction, `ema`, `add_decayed_weights`, then `scale_by_learning_rate`.

    The mean is one of normalised gradients, so no step is longer than the rate times 1/√(1 - b2). The rate stands
    behind the mean: under a schedule a step has the rate of its own time.

    Args:
        learning_rate: at least 0; usually 4e-4.
        b1: the weight of the past in the mean, as in `ema`.
        b2: the weight of the past in the mean of squares, as the decay of `scale_by_rms`; below 1.
        eps: as in `scale_by_rms`, added outside the root.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with two entries: `ScaleByRmsState` and `EmaState`. Its update needs `params`.
    Source: Ziyin, Wang & Ueda 2020 (arXiv:2002.04839), algorithm 1. The authors' code weights each term of the mean by
        the rate of its time, the same where the rate is constant; its decay is not multiplied by the rate. Not in
        optax. Within 60 ulp of exact arithmetic over 1,000 steps in float32.
    """
    below_one(b1=b1, b2=b2)
    return chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        ema(b1),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
