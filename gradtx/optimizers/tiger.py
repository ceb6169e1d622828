"""Tiger: the sign of a running mean of gradients."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.transforms.basic import scale_by_learning_rate, scale_by_sign
from gradtx.transforms.momentum import ema
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def tiger(learning_rate: Hyper, decay: Hyper = 0.965, *, weight_decay: Hyper = 0.01, mask: Any = None):
    """Tiger: `ema`, `scale_by_sign`, `add_decayed_weights`, then `scale_by_learning_rate`. It is Lion with b1 = b2.

    The author makes the step of each leaf proportional to the size of its parameters: put `scale_by_trust_ratio()`
    behind `scale_by_sign()` in a chain of these parts. He halves the rate of biases and gains, and gives them no decay:
    `per_leaf_learning_rate` and `mask` do that. Accumulation in the moment is `accumulate`.

    Args:
        learning_rate: at least 0; usually 1e-3.
        decay: the weight of the past, as in `ema`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `EmaState`. Its update needs `params`.
    Source: Su 2023, github.com/bojone/tiger. Not in optax. Over 1,000 steps in float32 within 2 ulp where the mean is
        above 1e-6 of the mean of |g|.
    """
    return chain(
        ema(decay, debias=False),
        scale_by_sign(),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
