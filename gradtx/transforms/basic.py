"""The smallest pieces: identity, scaling, signs and zeros."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import times
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import is_none, is_trained
from gradtx.errors import concrete, finite, non_negative


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def identity():
    """Return the updates unchanged, in their own dtype.

        u = g

    State: none.
    Source: optax's `identity`; `chain()` does the same.

    Example:
        >>> import gradtx
        >>> gradtx.identity().update(2.0, gradtx.EmptyState())[0]
        2.0
    """

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return updates, state

    return init, update


def sign_of(number: Any) -> int:
    """-1 for a negative factor, 1 for others, 0 for one that is not known before the step: a schedule, or traced."""
    known = concrete(number)
    return 0 if known is None else -1 if known < 0 else 1


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, sign=lambda given, signs: sign_of(given["step_size"]))
def scale(step_size: Hyper):
    """Multiply the updates by a factor.

        u = step_size·g

    Args:
        step_size: the factor; finite, positive or negative. For descent it is negative: `scale(-0.1)`.

    State: none.
    Raises: ValueError: the factor is not finite.
    Source: optax's `scale`; with a schedule, optax's `scale_by_schedule`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale(-0.5)
        >>> print(tx.update(jnp.array([2.0, 4.0]), tx.init(jnp.zeros(2)))[0])
        [-1. -2.]
    """
    finite(step_size=step_size)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_leaves(lambda g: times(step_size, g), updates), state

    return init, update


@transformation(
    any_leaves=True, sparse_rows=True, leafwise=True, sign=lambda given, signs: -1 if given["flip_sign"] else 1
)
def scale_by_learning_rate(learning_rate: Hyper, *, flip_sign: bool = True):
    """Turn a direction into a step of descent: multiply it by minus the learning rate.

        u = -learning_rate·g

    Args:
        learning_rate: the step size; finite, at least 0; parameter units per unit of the direction.
        flip_sign: multiply by minus the learning rate; if False, by the learning rate.

    State: none; with a schedule, a `HyperparametersState` that holds the learning rate in use.
    Raises: ValueError: the learning rate is negative or not finite.
    Source: optax's `scale_by_learning_rate`. There None leaves out the minus sign too; here a learning rate is
        required.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_learning_rate(lambda step: 0.1 / (1 + step))
        >>> updates, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
        >>> print(updates, gradtx.hyperparameters(state)["learning_rate"])
        -0.1 0.1
    """
    non_negative(learning_rate=learning_rate)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        factor = -learning_rate if flip_sign else learning_rate
        return map_leaves(lambda g: times(factor, g), updates), state

    return init, update


@transformation(any_leaves=True, sparse_rows=True, leafwise=True)
def scale_by_sign():
    """Replace each entry by its sign.

        u = sign(g),   0 for 0;   g/|g| for complex g

    State: none.
    Source: Bernstein et al. 2018 (arXiv:1802.04434), algorithm 1. optax's `scale_by_sign`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_sign()
        >>> print(tx.update(jnp.array([-3.0, 0.0, 0.1]), tx.init(jnp.zeros(3)))[0])
        [-1.  0.  1.]
    """

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return map_leaves(jnp.sign, updates), state

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def set_to_zero():
    """Replace every update by zero, also NaN and infinities.

        u = 0

    State: none.
    Source: optax's `set_to_zero`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.set_to_zero().update(jnp.array([jnp.nan, 1.0]), gradtx.EmptyState())[0])
        [0. 0.]
    """

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        zero = jax.tree.map(lambda g: jnp.zeros_like(g) if is_trained(g) else g, updates, is_leaf=is_none)
        return zero, state

    return init, update
