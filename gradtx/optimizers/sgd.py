"""Gradient descent: plain, with momentum, with noise."""

from __future__ import annotations

import jax

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.transformation import transformation
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_damped_momentum, add_momentum, add_nesterov_momentum
from gradtx.transforms.noise import add_noise


@transformation
def sgd(learning_rate: Hyper, momentum: Hyper | None = None, nesterov: bool = False, *, dampening: Hyper | None = None):
    """Gradient descent: momentum if asked for, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0.
        momentum: `decay` of `add_momentum`; None, the default, for no momentum and no state.
        nesterov: use `add_nesterov_momentum`.
        dampening: use `add_damped_momentum`, as torch does; None for no dampening.

    State: that of the momentum, if any.
    Raises: ValueError: nesterov or dampening without momentum; both together.
    Source: Robbins & Monro 1951; for momentum see the pieces. The learning rate multiplies the running sum, as in optax
        and torch. In Keras it multiplies each gradient before the sum.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> w = jnp.array([-15.0, 20.0])  # of E = 3 w1² + 10 w2²
        >>> tx = gradtx.sgd(0.001)
        >>> u, state = tx.update(jnp.array([6.0, 20.0]) * w, tx.init(w), w)
        >>> print(gradtx.apply_updates(w, u))
        [-14.91  19.6 ]
    """
    if momentum is None:
        if nesterov or dampening is not None:
            raise ValueError(f"{'nesterov' if nesterov else 'dampening'} needs a momentum, for instance momentum=0.9")
        return chain(scale_by_learning_rate(learning_rate))
    if nesterov and dampening is not None:
        raise ValueError("nesterov and dampening exclude each other")
    if nesterov:
        return chain(add_nesterov_momentum(momentum), scale_by_learning_rate(learning_rate))
    if dampening is not None:
        return chain(add_damped_momentum(momentum, dampening), scale_by_learning_rate(learning_rate))
    return chain(add_momentum(momentum), scale_by_learning_rate(learning_rate))


@transformation
def noisy_sgd(learning_rate: Hyper, eta: Hyper = 0.01, gamma: Hyper = 0.55, *, key: int | jax.Array):
    """Gradient descent with Gaussian noise in the gradients: `add_noise`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0.
        eta, gamma, key: as in `add_noise`.

    State: a chain's dict, with one entry: `AddNoiseState`.
    Source: Neelakantan et al. 2015 (arXiv:1511.06807). optax has the same variances with other random numbers, and
        draws them without a key if none is given.
    """
    return chain(add_noise(eta, gamma, key), scale_by_learning_rate(learning_rate))
