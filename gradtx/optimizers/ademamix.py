"""AdEMAMix: Adam with a second, slow running mean of the gradients."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, non_negative
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, ema
from gradtx.transforms.ratio import divide_by_rms
from gradtx.wrappers.branches import add
from gradtx.wrappers.decay import add_decayed_weights


def two_means_over_rms(b1: Any, b2: Any, b3: Any, alpha: Any, eps: Any, eps_root: Any) -> GradientTransformation:
    """The quotient of `ademamix`."""
    return divide_by_rms(add(fast=ema(b1), slow=chain(ema(b3, debias=False), scale(alpha))), b2, eps, eps_root)


def momentum_over_rms(b1: Any, b2: Any, alpha: Any, eps: Any, eps_root: Any) -> GradientTransformation:
    """The quotient of `simplified_ademamix`."""
    return divide_by_rms(add(add_momentum(b1), scale(alpha)), b2, eps, eps_root)


@transformation
def ademamix(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    alpha: Hyper = 5.0,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """AdEMAMix: `divide_by_rms` of a fast mean plus alpha times a slow one, `add_decayed_weights`, then the rate.

    The slow mean begins at 0 and is not corrected for it. So that large steps do not come from few gradients, the paper
    lets alpha rise from 0, `linear_schedule(0.0, alpha, steps)`, and b3 from b1, `half_life_schedule(b1, b3, steps)`,
    over the whole training. With alpha = 0 it is `adamw`.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1, b3: the weights of the past in the fast and in the slow mean, as in `ema`.
        b2, eps, eps_root: as in `divide_by_rms`.
        alpha: the factor of the slow mean; finite, at least 0; usually 4 to 10.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `DivideByRmsState`, with the means of `fast` and `slow` inside. Its update
        needs `params`.
    Source: Pagliardini et al. 2024 (arXiv:2409.03137), algorithm 1. Same as optax's `contrib.ademamix`, whose
        `scale_by_ademamix` has alpha = 6. The authors' class has 2, their README 8; their schedules count from 1, ours
        from 0. Within 60 ulp of exact arithmetic over 1,000 steps in float32.
    """
    below_one(b1=b1, b3=b3)
    non_negative(alpha=alpha)
    return chain(
        two_means_over_rms(b1, b2, b3, alpha, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def simplified_ademamix(
    learning_rate: Hyper,
    b1: Hyper = 0.99,
    b2: Hyper = 0.95,
    alpha: Hyper = 0.0,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """Simplified AdEMAMix: `divide_by_rms` of momentum plus alpha·g, `add_decayed_weights`, then the rate.

    Momentum is a sum, not a mean: steps are up to 1/(1 - b1) times as long as Adam's, so the rate is that much smaller.

    Args:
        learning_rate: at least 0; usually 1e-5.
        b1: the share of the sum that is kept, as in `add_momentum`.
        b2, eps, eps_root: as in `divide_by_rms`.
        alpha: the factor of the present gradient; finite, at least 0; up to 100 for small batches, 0 for large ones.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `DivideByRmsState`. Its update needs `params`.
    Source: Morwani et al. 2025 (arXiv:2502.02431), algorithm 1. Same as optax's `contrib.simplified_ademamix`. NVIDIA's
        code divides the sum of gradients by the sum of its weights, so its rates are up to 1/(1 - b1) times as large.
        Within 60 ulp of exact arithmetic over 1,000 steps in float32.
    """
    in_unit_interval(b1=b1)
    non_negative(alpha=alpha)
    return chain(
        momentum_over_rms(b1, b2, alpha, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
