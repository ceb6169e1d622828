"""The smallest pieces: pass on, scale, flip the sign, take the sign, set to zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradtx.core.errors import finite, non_negative
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import is_none, is_trained


@transformation(any_leaves=True, sparse_rows=True)
def identity():
    """Pass the updates on as they are, in their own type.

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


@transformation(any_leaves=True, sparse_rows=True)
def scale(step_size: Hyper):
    """Multiply the updates by a factor.

        u = step_size·g

    Args:
        step_size: the factor; finite, of either sign. Descent by hand is `scale(-0.1)`.

    State: none.
    Raises: ValueError: a factor that is not finite.
    Source: optax's `scale`; a schedule works here too (optax: `scale_by_schedule`).

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
        return map_leaves(lambda g: step_size * g, updates), state

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
def scale_by_learning_rate(learning_rate: Hyper, *, flip_sign: bool = True):
    """Turn a direction into a step of descent: multiply by the learning rate, with a minus.

        u = -learning_rate·g

    Args:
        learning_rate: the step size; finite, at least 0; parameter units per unit of the direction.
        flip_sign: the minus; without it this is `scale` for rates.

    State: none; with a schedule, a `HyperparametersState` in which the rate in use can be read.
    Raises: ValueError: a rate that is negative or not finite.
    Source: optax's `scale_by_learning_rate`, in which no rate (None) also means no minus; here a rate is required.

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
        return map_leaves(lambda g: factor * g, updates), state

    return init, update


@transformation(any_leaves=True, sparse_rows=True)
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
    """Replace the updates by zeros, whatever they are: NaN and infinities too.

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
