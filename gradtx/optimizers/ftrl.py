"""FTRL-Proximal: the leader of all past gradients, held near past parameters and, if asked, sparse."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import full, map_leaves
from gradtx.core.numerics import abs_sq, clip_and_square, safe_sqrt
from gradtx.core.states import Exact, Magnitude
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative
from gradtx.wrappers.lookup import only_trained


class ScaleByFtrlState(NamedTuple):
    """The state of `scale_by_ftrl`."""

    root: Magnitude  # √Σ|g|²; like params, real, float32 or wider; √`initial_accumulator_value` at init
    z: Exact  # what the parameters are computed from; like params, float32 or wider; -root·w at init


@transformation(any_leaves=True, sign=-1)
def scale_by_ftrl(
    learning_rate: Hyper = 1e-3,
    initial_accumulator_value: Number = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    beta: Hyper = 0.0,
):
    """Move to the minimum of all past gradients' lines, plus squares around all past parameters, plus l1 and l2.

        r' = √(r² + |g|²)
        z' = z + η·g - (r' - r)·w                                    η = learning_rate
        w' = -sign(z')·max(|z'| - η·l1, 0)/(r' + beta + 2·η·l2)      w if the divisor is 0
        u = w' - w

    Without l1, l2 and beta this is Adagrad without eps. With l1, an entry is exactly 0 until its gradients agree. The
    updates are steps: they have the sign of descent and the learning rate, and nothing may scale them.

    Gradients above 9.2e18 (float32) count as 9.2e18, since their squares would overflow, and r stops at 1.6e19. From
    then on updates are too large, by at most √k, where k is the number of steps so far.

    Args:
        learning_rate: finite, at least 0; parameter units.
        initial_accumulator_value: r² before the first step; finite, at least 0; gradient units squared.
        l1: the weight of |w|; finite, at least 0; gradient units.
        l2: the weight of w²; finite, at least 0.
        beta: how much larger the divisor is; finite, at least 0; gradient units.

    State: `ScaleByFtrlState`: root, r, like params, real, √initial_accumulator_value at init; z, like params, -r·w at
        init.
    Raises: ValueError: an argument is out of range.
    Source: McMahan et al. 2013, "Ad click prediction: a view from the trenches", algorithm 1, times η, so that z is
        right under schedules. Keras' `Ftrl` and the paper start z at 0, which means w = 0: other parameters jump to
        near 0 at the first step. Not in optax or torch. Within 5e-6 of exact arithmetic over 1,000 steps in float32, of
        the parameters and the way that they went.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> w, tx = jnp.array([1.0, -2.0]), gradtx.scale_by_ftrl(0.25, 0.0)
        >>> print(tx.update(jnp.array([0.5, -4.0]), tx.init(w), w)[0])
        [-0.25  0.25]
    """
    non_negative(learning_rate=learning_rate, initial_accumulator_value=initial_accumulator_value)
    non_negative(l1=l1, l2=l2, beta=beta)

    def init(params):
        root = full(params, jnp.sqrt(jnp.asarray(initial_accumulator_value)), real=True)
        return ScaleByFtrlState(root, map_leaves(lambda w, root: -root * w, only_trained(params), root))

    def update(updates, state, params):
        def leaf(g, root, z, w):
            g, g_sq = clip_and_square(g, room=0.5)
            new = safe_sqrt(jnp.minimum(jnp.square(root), float(jnp.finfo(root.dtype).max) / 2) + g_sq)
            z = z + (learning_rate * g - (new - root) * w)
            size = safe_sqrt(abs_sq(z)) if jnp.iscomplexobj(z) else jnp.abs(z)
            shrunk = jnp.maximum(1.0 - learning_rate * l1 / jnp.maximum(size, float(jnp.finfo(size.dtype).tiny)), 0.0)
            divisor = new + (beta + 2.0 * learning_rate * l2)
            leader = -shrunk * z / jnp.where(divisor == 0, 1.0, divisor)
            return jnp.where(divisor == 0, 0.0, leader - w), new, z

        updates, root, z = map_leaves(leaf, updates, state.root, state.z, params)
        return updates, ScaleByFtrlState(root, z)

    return init, update


@transformation
def ftrl(
    learning_rate: Hyper,
    initial_accumulator_value: Number = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    beta: Hyper = 0.0,
):
    """FTRL-Proximal: `scale_by_ftrl`.

    Args:
        learning_rate: at least 0; usually 1e-2 to 1e-1.
        initial_accumulator_value, l1, l2, beta: as in `scale_by_ftrl`. Keras calls l1 and l2 regularization strengths.

    State: a chain's dict, with one entry: `ScaleByFtrlState`. Its update needs `params`.
    Source: McMahan et al. 2013. Keras' `Ftrl` starts as if the parameters were 0.
    """
    return chain(scale_by_ftrl(learning_rate, initial_accumulator_value, l1, l2, beta))
