"""Polyak's rate, from the value of the loss."""

from __future__ import annotations

import jax.numpy as jnp

from gradtx.core.hyper import Number
from gradtx.core.states import EmptyState
from gradtx.errors import finite, non_negative, not_below_zero
from gradtx.rates.estimator import Advice, estimator
from gradtx.transforms.norms import global_norm


@estimator(needs_value=True)
def polyak(f_min: Number = 0.0, max_learning_rate: Number = 1.0, eps: Number = 0.0):
    """The rate at which a line with the slope of the loss would reach its minimum.

        rate = min(max_learning_rate, (f - f_min)₊/(‖g‖² + eps))

    The update needs `value`, the loss f that the gradients are of. Where the gradient is zero the rate is
    max_learning_rate.

    Args:
        f_min: the least value of the loss, or a number below it; finite.
        max_learning_rate: the largest rate; at least 0.
        eps: at least 0; in squared units of the gradient.

    State: none.
    Raises: ValueError: an argument is out of range.
    Source: Loizou et al. 2021 (arXiv:2002.10542), section 3, SPS_max with c = 1, with f - f_min not below 0 as in
        "SPS+". Polyak 1969 without the maximum. optax's `scale_by_polyak(variant="sps+")`. Around `sgd(1.0)` the
        parameters are within 1000 ulp of the largest parameter so far over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.adapt_learning_rate(gradtx.sgd(1.0), gradtx.rates.polyak()), jnp.array([3.0, 4.0])
        >>> print(tx.update(w, tx.init(w), w, value=12.5)[0])  # of ‖w‖²/2: half the way
        [-1.5 -2. ]
    """
    finite(f_min=f_min)
    not_below_zero(max_learning_rate=max_learning_rate)
    non_negative(eps=eps)

    def before(g, state, params, now):
        norm = global_norm(g)
        gap = jnp.maximum(now.value - f_min, 0.0)
        safe = jnp.where(norm == 0, 1.0, norm)
        rate = gap / safe / (safe + eps / safe)  # the square of the norm may overflow
        return Advice(jnp.where(norm == 0, max_learning_rate, jnp.minimum(rate, max_learning_rate))), state

    return lambda params: EmptyState(), before
