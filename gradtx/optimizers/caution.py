"""Adam and Lion whose steps follow the signs of the gradients: entries against them are dropped, or turned."""

from __future__ import annotations

from typing import Any

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.lion import scale_by_lion
from gradtx.transforms.basic import identity, scale_by_learning_rate
from gradtx.wrappers.cautious import cautious
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.graft import graft


@transformation
def c_adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    weight_decay: Hyper = 1e-4,
    mask: Any = None,
):
    """Cautious AdamW: `scale_by_adam` in `cautious`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`; the decay is not masked.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdamState`. Its update needs `params`.
    Source: Liang et al. 2024 (arXiv:2411.16085), algorithm 1 round AdamW; C-AdamW of the authors' code and of timm. Not
        in optax. Within 20 ulp of exact arithmetic over 1,000 steps in float32, where no average is within 1e-6 of its
        terms of 0.
    """
    return chain(
        cautious(scale_by_adam(b1, b2, eps, eps_root)),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def c_lion(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.99, *, weight_decay: Hyper = 1e-3, mask: Any = None):
    """Cautious Lion: `scale_by_lion` in `cautious`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; a tenth to a third of Adam's. It multiplies the weight decay too.
        b1, b2: as in `scale_by_lion`.
        weight_decay: as in `add_decayed_weights`; the decay is not masked.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByLionState`. Its update needs `params`.
    Source: Liang et al. 2024 (arXiv:2411.16085), algorithm 1 round Lion. Not in optax. Within 2 ulp of exact
        arithmetic over 1,000 steps in float32, where no average is within 1e-6 of its terms of 0.
    """
    return chain(
        cautious(scale_by_lion(b1, b2)), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate)
    )


@transformation
def grams(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """Grams: the signs of the gradient with the sizes of Adam's step, by `graft`; then decay and the rate.

    Args:
        learning_rate: at least 0; usually 1e-3. It multiplies the weight decay too.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `GraftState`. Its update needs `params`.
    Source: Cao, Li & Song 2024 (arXiv:2412.17107), algorithm 1: u = sign(g)·|Adam's u|. Not in optax. Within 60 ulp of
        exact arithmetic over 1,000 steps in float32.
    """
    return chain(
        graft(identity(), scale_by_adam(b1, b2, eps, eps_root), per="entry"),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
