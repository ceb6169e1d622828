"""StableAdamW: AdamW with shorter steps for leaves whose gradients grow at once."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import below_one
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import ema
from gradtx.transforms.ratio import divide_by_capped_rms
from gradtx.wrappers.decay import add_decayed_weights


@transformation
def stable_adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-8,
    *,
    weight_decay: Hyper = 1e-2,
    mask: Any = None,
):
    """StableAdamW: `divide_by_capped_rms(ema(b1))` with `add_decayed_weights` before the cap, then the rate.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        b1: `decay` of `ema`.
        b2, eps: as in `divide_by_capped_rms`.
        weight_decay: as in `add_decayed_weights`. The cap holds for it too.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `DivideByCappedRmsState`. Its update needs `params`.
    Raises: ValueError: an argument is out of range.
    Source: Wortsman et al. 2023 (arXiv:2304.13013), algorithm 2. Its decays of step t are those of averages that are
        corrected for their start at 0. Not in optax, torch or Keras. Within 20 ulp of exact arithmetic over 1,000 steps
        in float32.
    """
    below_one(b1=b1, b2=b2)
    capped = divide_by_capped_rms(ema(b1), b2, eps, after=add_decayed_weights(weight_decay, mask))
    return chain(capped, scale_by_learning_rate(learning_rate))
