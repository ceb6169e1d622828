"""Adam with a state of low rank: GaLore, which steps in a few directions, and APOLLO, which learns lengths in them."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative
from gradtx.frames.low_rank import low_rank
from gradtx.frames.trees import LeavesOf
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import identity, scale_by_learning_rate
from gradtx.transforms.basic import scale as multiply
from gradtx.transforms.growth import limit_growth
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.frame import in_frame
from gradtx.wrappers.graft import graft
from gradtx.wrappers.masked import masked


@transformation
def galore(
    learning_rate: Hyper,
    rank: int = 128,
    every: int = 200,
    scale: Hyper = 0.25,
    *,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """GaLore: `scale_by_adam` in a `low_rank` frame, its updates times a factor, `add_decayed_weights`, then the rate.

    Leaves that the frame does not take get the updates of Adam.

    Args:
        learning_rate: at least 0; usually 1e-2. It multiplies the weight decay too.
        rank, every: as in `low_rank`.
        scale: α, the factor of the updates of leaves in the frame; finite, at least 0.
        b1, b2, eps: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `InFrameState`. For a matrix m × n with m < n, 2·r·n + m·r numbers instead of
        2·m·n. Its update needs `params`.
    Source: Zhao et al. 2024 (arXiv:2403.03507), algorithm 2. As there, the moments stay as they are when the directions
        change. The directions have the signs that `low_rank` says. optax's `contrib.galore` takes
        directions of the longer side, so its moments are smaller and its P larger, and has the factor 1, for all
        leaves. Within 1e-5 of the learning rate of exact arithmetic over 1,000 steps in float32; median 1e-6.
    """
    non_negative(scale=scale)
    frame = low_rank(rank, every)
    return chain(
        in_frame(scale_by_adam(b1, b2, eps), frame),
        masked(multiply(scale), LeavesOf(frame)),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def apollo(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-6,
    *,
    rank: int = 256,
    every: int = 200,
    per: str = "channel",
    scale: Hyper = 1.0,
    growth: Hyper = 1.01,
    key: int = 0,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """APOLLO: a `graft` of the gradient with the lengths that Adam has in random directions, and `limit_growth`.

    Leaves that the frame does not take get the updates of Adam. The paper's APOLLO-Mini is `apollo(learning_rate,
    rank=1, per="leaf", scale=128**0.5)`.

    Args:
        learning_rate: at least 0; usually 1e-2. It multiplies the weight decay too.
        b1, b2, eps: as in `scale_by_adam`.
        rank, every, key: as in `low_rank`, with a random basis.
        per: what has a length of its own: "channel", an index of the longer side of a matrix, or "leaf".
        scale: the factor of the updates of leaves in the frame; finite, at least 0; the paper's √α.
        growth: as in `limit_growth`, for leaves in the frame.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict. `low_rank`: a `GraftState` and a `LimitGrowthState`; for a matrix m × n with m < n, 2·r·n
        numbers. `others`: `ScaleByAdamState`. Its update needs `params`.
    Source: Zhu et al. 2024 (arXiv:2412.05270), algorithm 1. There the factor is √α. The authors' code
        adds 1e-8 to the length by which it divides; here a length of 0 gives 0. Not in optax. Within 30 ulp of exact
        arithmetic with the same directions over 1,000 steps in float32, relative to the largest entry of the update.
    """
    non_negative(scale=scale)
    frame = low_rank(rank, every, "random", key)
    lengths = graft(identity(), scale_by_adam(b1, b2, eps), per, through=frame)
    return chain(
        low_rank=masked(chain(lengths, multiply(scale), limit_growth(growth)), LeavesOf(frame)),
        others=masked(scale_by_adam(b1, b2, eps), LeavesOf(frame, others=True)),
        decay=add_decayed_weights(weight_decay, mask),
        rate=scale_by_learning_rate(learning_rate),
    )
