"""Lion: the sign of a running mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import ema
from gradtx.core.states import Signed
from gradtx.core.transformation import transformation
from gradtx.errors import in_unit_interval
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.wrappers.decay import add_decayed_weights


class ScaleByLionState(NamedTuple):
    """The state of `scale_by_lion`."""

    mu: Signed  # running mean m of g; like params, float32 or wider; 0 at init


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def scale_by_lion(b1: Hyper = 0.9, b2: Hyper = 0.99):
    """Replace each entry by the sign of a weighted mean of its gradient and of past gradients.

        u = sign(b1·m + (1 - b1)·g)
        m = b2·m + (1 - b2)·g

    Args:
        b1: the weight of the past in the update; in [0, 1]. With 1 a gradient counts from the next step on.
        b2: the weight of the past in m; in [0, 1].

    State: `ScaleByLionState`: mu, like params, float32 or wider, 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Chen et al. 2023 (arXiv:2302.06675), algorithm 2. Same as optax, whose state also has a count.
        Over 1,000 steps in float32 signs are right where the mean is above 1e-6 of the mean without signs.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_lion()
        >>> print(tx.update(jnp.array([-3.0, 0.0, 0.1]), tx.init(jnp.zeros(3)))[0])
        [-1.  0.  1.]
    """
    in_unit_interval(b1=b1, b2=b2)

    def init(params):
        return ScaleByLionState(mu=zeros(params))

    def update(updates, state, params=None):
        def leaf(g, mu):
            if not (isinstance(b2, float) and b2 >= 0.5):
                return jnp.sign(ema(mu, g, b1)), ema(mu, g, b2)
            mu = ema(mu, g, b2)
            # b1·m + (1 - b1)·g of the old m is computed from the new m: XLA then overwrites the old one in place.
            return jnp.sign(ema(g, mu, 1.0 - b1 / b2)), mu

        updates, mu = map_leaves(leaf, updates, state.mu, idle=(b2,))
        return updates, ScaleByLionState(mu)

    return init, update


@transformation
def lion(learning_rate: Hyper, b1: Hyper = 0.9, b2: Hyper = 0.99, weight_decay: Hyper = 1e-3, mask: Any = None):
    """Lion: `scale_by_lion`, `add_decayed_weights`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; a tenth to a third of Adam's. It multiplies the weight decay too.
        b1, b2: as in `scale_by_lion`.
        weight_decay: as in `add_decayed_weights`.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict, with one entry: `ScaleByLionState`. Its update needs `params`.
    Source: Chen et al. 2023 (arXiv:2302.06675), algorithm 2. Defaults as in optax.
    """
    return chain(scale_by_lion(b1, b2), add_decayed_weights(weight_decay, mask), scale_by_learning_rate(learning_rate))
