"""ADOPT: gradients over the root of the squares before them, then momentum."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import clip_and_square, increment, safe_sqrt, zero_count
from gradtx.core.numerics import ema as average
from gradtx.core.states import NonNegative
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, in_unit_interval, positive
from gradtx.transforms.basic import identity, scale_by_learning_rate
from gradtx.transforms.clipping import clip_by_value
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.momentum import ema


class ScaleByPreviousRmsState(NamedTuple):
    """The state of `scale_by_previous_rms`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    nu: NonNegative  # running mean s of |g|²; like params, real, float32 or wider; 0 at init


@transformation(any_leaves=True)
def scale_by_previous_rms(decay: Hyper = 0.9999, eps: Hyper = 1e-6):
    """Divide each entry by a running root mean square of the gradients before it.

        u = g/max(√s, eps)      0 in the first step
        s = decay·s + (1 - decay)·|g|²      |g|² in the first step

    The gradient is not among the squares that it is divided by, so u can be any size: clip it. Gradients above 1.8e19
    (float32) count as 1.8e19, since their squares would overflow.

    Args:
        decay: the weight of the past; in [0, 1].
        eps: the least divisor; greater than 0; gradient units.

    State: `ScaleByPreviousRmsState`: count, int32 scalar; nu, like params, real, float32 or wider; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Taniguchi et al. 2024 (arXiv:2411.02853), algorithm 2, its divisor. The division of optax's `contrib.adopt`.
        Within 20 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_previous_rms()
        >>> first, state = tx.update(jnp.array(2.0), tx.init(jnp.array(0.0)))
        >>> print(first, tx.update(jnp.array(-3.0), state)[0])
        0.0 -1.5
    """
    in_unit_interval(decay=decay)
    positive(eps=eps)

    def init(params):
        return ScaleByPreviousRmsState(zero_count(), zeros(params, real=True))

    def update(updates, state, params=None):
        first = state.count == 0

        def leaf(g, nu):
            g, g_sq = clip_and_square(g)
            u = jnp.where(first, 0.0, g / jnp.maximum(safe_sqrt(nu), eps))
            return u.astype(g.dtype), jnp.where(first, g_sq, average(nu, g_sq, decay))

        updates, nu = map_leaves(leaf, updates, state.nu)
        return updates, ScaleByPreviousRmsState(increment(state.count), nu)

    return init, update


def fourth_root(step):
    """The largest entry of ADOPT's quotient: the fourth root of the number of steps before."""
    return jnp.asarray(step) ** 0.25


@transformation
def adopt(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.9999,
    eps: Hyper = 1e-6,
    *,
    use_clipping: bool = True,
    nesterov: bool = False,
):
    """ADOPT: `scale_by_previous_rms`, `clip_by_value` to the fourth root of the step, `ema`, then the rate.

    Nothing moves in the first step, which only starts the second moment.

    Args:
        learning_rate: at least 0; usually 1e-3.
        b1: `decay` of `ema`, without bias correction.
        b2, eps: as in `scale_by_previous_rms`.
        use_clipping: clip the quotient of step t + 1 to t^(1/4).
        nesterov: use `nesterov_ema` in place of `ema`.

    State: a chain's dict: `ScaleByPreviousRmsState`; of the clip, a `HyperparametersState` with its bound; `EmaState`
        or `NesterovEmaState`.
    Raises: ValueError: an argument is out of range.
    Source: Taniguchi et al. 2024 (arXiv:2411.02853), algorithm 2. Same as optax's `contrib.adopt`, whose docstring
        names another paper. Within 30 ulp of exact arithmetic over 1,000 steps in float32.
    """
    below_one(b1=b1)
    in_unit_interval(b2=b2)
    return chain(
        scale_by_previous_rms(b2, eps),
        clip_by_value(fourth_root) if use_clipping else identity(),
        nesterov_ema(b1) if nesterov else ema(b1, debias=False),
        scale_by_learning_rate(learning_rate),
    )
