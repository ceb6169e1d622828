"""MARS: AdamW on gradients of reduced variance."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.filters import reduce_variance
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def mars(
    learning_rate: Hyper,
    b1: Hyper = 0.95,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-8,
    gamma: Hyper = 0.025,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """MARS-AdamW: `reduce_variance`, `scale_by_adam`, `add_decayed_weights`, then `scale_by_learning_rate`.

    With gamma = 0 it is `adamw` behind a bound of 1 on the norm of each leaf's gradient. The authors use it for
    matrices, and AdamW for the other leaves: `route({"**/kernel": mars(3e-3)}, default=adamw(3e-3, 0.9, 0.95))`.

    Args:
        learning_rate: at least 0; usually 3e-3.
        b1, b2, eps: as in `scale_by_adam`; b1 is the decay of `reduce_variance` too.
        gamma: as in `reduce_variance`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with two entries: `PreviousGradientState` and `ScaleByAdamState`. Its update needs `params`.
    Source: Yuan et al. 2024 (arXiv:2411.10438), MARS-AdamW in its approximate form. The authors' code begins with a
        previous gradient of 0. Not in optax. Within 200 ulp of the rate over 1,000 steps in float32.
    """
    below_one(b1=b1)
    return chain(
        reduce_variance(gamma, b1),
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
