"""NovoGrad: momentum of gradients that are divided by the norms of their leaves."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.schedule import Term, at, schedule
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, non_negative
from gradtx.moments.means import per_leaf
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum
from gradtx.wrappers.decay import add_decayed_weights


@schedule
def from_the_first(decay: Term):
    """A weight of the past that is 0 in the first step, so that an average starts at what comes first."""
    return lambda step: jnp.where(step == 0, 0.0, at(decay, step))


@transformation
def novograd(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.25,
    eps: Hyper = 1e-6,
    *,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """NovoGrad: `scale_by_rms` with one second moment for each leaf, `add_decayed_weights`, `add_momentum`, the rate.

        v = b2·v + (1 - b2)·‖g‖²      for each leaf; v = ‖g‖² in the first step
        m = b1·m + (g/(√v + eps) + weight_decay·w)

    Args:
        learning_rate: at least 0. The first step of a leaf has this norm.
        b1: `decay` of `add_momentum`; in [0, 1]. The sum makes steps up to 1/(1 - b1) times as long.
        b2: the weight of the past in v; in [0, 1).
        eps: added to the root; finite, at least 0; gradient units.
        weight_decay: as in `add_decayed_weights`. It enters the sum.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: of `scale_by_rms` a `HyperparametersState` with the weight of the past in use, and in it one
        number for each leaf; `AddMomentumState`. Its update needs `params`.
    Raises: ValueError: an argument is out of range.
    Source: Ginsburg et al. 2019 (arXiv:1905.11286), algorithm 1. Same as optax, which also has an eps_root.
        Gradients above 9.2e18 (float32) count as 9.2e18 in a leaf of 4 entries, and above 1.8e19/√n in one of n, since
        ‖g‖² would overflow. Within 20 ulp of exact arithmetic over 1,000 steps in float32.
    """
    in_unit_interval(b1=b1)
    below_one(b2=b2)
    non_negative(eps=eps)
    return chain(
        scale_by_rms(from_the_first(b2), eps, eps_in_sqrt=False, moment=per_leaf(total=True)),
        add_decayed_weights(weight_decay, mask),
        add_momentum(b1),
        scale_by_learning_rate(learning_rate),
    )
