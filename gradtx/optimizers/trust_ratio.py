"""Steps whose length is a share of that of the parameters: LARS, LAMB, Fromage."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative
from gradtx.optimizers.adam import scale_by_adam
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, add_nesterov_momentum
from gradtx.transforms.normalize import scale_by_trust_ratio
from gradtx.transforms.turns import take_turns
from gradtx.wrappers.decay import add_decayed_weights
from gradtx.wrappers.masked import masked


@transformation(any_leaves=True, sign=-1)
def turn_by_learning_rate(learning_rate: Hyper):
    """Step against a direction, and make the parameters shorter by as much as such a step makes them longer.

        u = (w - η·g)/√(1 + η²) - w        η: the learning rate

    Where g is orthogonal to w and as long, w keeps its length: it turns by the angle arctan η. The difference is
    computed without cancellation.

    Args:
        learning_rate: η; finite, at least 0.

    State: none; with a schedule, a `HyperparametersState` that holds the learning rate in use. Its update needs
        `params`.
    Raises: ValueError: the learning rate is negative or not finite.
    Source: Bernstein et al. 2020 (arXiv:2002.03432), algorithm 1, last line. optax writes it out in `fromage`. Within 4
        ulp of exact arithmetic over 1,000 steps in float32, relative to the terms.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.turn_by_learning_rate(0.75), jnp.array([4.0, 0.0])
        >>> print(w + tx.update(jnp.array([0.0, 4.0]), tx.init(w), w)[0])
        [ 3.2 -2.4]
    """
    non_negative(learning_rate=learning_rate)

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        eta = learning_rate
        length = math.sqrt(1.0 + eta * eta) if isinstance(eta, float) else jnp.sqrt(1.0 + eta * eta)
        along, back = -eta / length, -eta * (eta / (length * (1.0 + length)))
        return map_leaves(lambda g, w: along * g + back * w, updates, params), state

    return init, update


@transformation
def lars(
    learning_rate: Hyper,
    weight_decay: Hyper = 0.0,
    weight_decay_mask: Any = None,
    trust_coefficient: Hyper = 0.001,
    eps: Hyper = 0.0,
    trust_ratio_mask: Any = None,
    momentum: Hyper = 0.9,
    nesterov: bool = False,
):
    """LARS: `add_decayed_weights`, `scale_by_trust_ratio`, `scale_by_learning_rate`, then the momentum.

    The momentum sums steps, with the rates of their time.

    Args:
        learning_rate: at least 0; larger than that of SGD, since it multiplies trust_coefficient.
        weight_decay: as in `add_decayed_weights`; part of what is scaled.
        weight_decay_mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.
        trust_coefficient, eps: as in `scale_by_trust_ratio`.
        trust_ratio_mask: which leaves have a trust ratio; the paper and its users leave out biases and gains.
        momentum: `decay` of `add_momentum`.
        nesterov: use `add_nesterov_momentum`.

    State: a chain's dict, with one entry: `AddMomentumState`. Its update needs `params`.
    Source: You et al. 2017 (arXiv:1708.03888), algorithm 1. As optax, whose masks have no rules. Within
        40 ulp of the largest parameter so far over 1,000 steps in float32.
    """
    ratio = scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps)
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        ratio if trust_ratio_mask is None else masked(ratio, trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        (add_nesterov_momentum if nesterov else add_momentum)(momentum),
    )


@transformation
def lamb(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-6,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    mask: Any = None,
):
    """LAMB: `scale_by_adam`, `add_decayed_weights`, `take_turns`, `scale_by_trust_ratio`, `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; the relative length of a step.
        b1, b2, eps, eps_root: as in `scale_by_adam`.
        weight_decay: as in `add_decayed_weights`; part of what is scaled.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByAdamState`. Its update needs `params`.
    Source: You et al. 2020 (arXiv:1904.00962), algorithm 2, with φ(x) = x. As optax. Keras has it without weight decay
        (its own is outside the ratio) and with eps = 1e-7; the paper's decay is 0.01.
        Within 40 ulp of the largest parameter so far over 1,000 steps in float32.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        take_turns(),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def fromage(learning_rate: Hyper, min_norm: Hyper = 1e-6):
    """Fromage: `scale_by_trust_ratio`, then `turn_by_learning_rate`.

    Args:
        learning_rate: at least 0; the relative length of a step.
        min_norm: as in `scale_by_trust_ratio`.

    State: none. Its update needs `params`.
    Source: Bernstein et al. 2020 (arXiv:2002.03432), algorithm 1. As optax. Within 40 ulp of the largest
        parameter so far over 1,000 steps in float32.
    """
    return chain(scale_by_trust_ratio(min_norm), turn_by_learning_rate(learning_rate))
