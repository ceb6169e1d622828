"""FTRL as in Keras: it begins as if the parameters were 0."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import full, map_leaves, zeros
from gradtx.core.numerics import clip_and_square, quotient, safe_sqrt
from gradtx.core.states import Exact, NonNegative
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative


class FtrlState(NamedTuple):
    """The state of `scale_by_ftrl_from_zero`."""

    accumulator: NonNegative  # n = Σ|g|²; like params, real, float32 or wider; `initial_accumulator_value` at init
    linear: Exact  # z, the linear term; like params, float32 or wider; 0 at init


@transformation(any_leaves=True, sign=-1)
def scale_by_ftrl_from_zero(
    learning_rate: Hyper = 1e-3,
    learning_rate_power: Hyper = -0.5,
    initial_accumulator_value: Number = 0.1,
    l1: Hyper = 0.0,
    l2: Hyper = 0.0,
    l2_shrinkage: Hyper = 0.0,
    beta: Hyper = 0.0,
):
    """FTRL whose linear term begins at 0, as if the parameters did: others jump in the first step, to near 0.

        n' = n + |g|²
        z' = z + g + 2·l2_shrinkage·w - (n'^p - n^p)/η·w            p = -learning_rate_power,   η = learning_rate
        w' = (clip(z', -l1, l1) - z')/(n'^p/η + 2·l2 + beta/η)
        u = w' - w

    With a rate of 0, as at the end of a schedule, nothing changes.

    Args:
        learning_rate: finite, at least 0; parameter units.
        learning_rate_power: finite, at most 0; the paper has -1/2.
        initial_accumulator_value: n before the first step; finite, at least 0.
        l1, l2, beta: as in `gradtx.scale_by_ftrl`.
        l2_shrinkage: l2 on the present parameters only; finite, at least 0.

    State: `FtrlState`: accumulator and linear, like params.
    Raises: ValueError: an argument is out of range.
    Source: McMahan et al. 2013, algorithm 1, as in Keras: z is not changed with a scheduled rate. There
        a rate of 0 makes the parameters NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat.keras.ftrl import scale_by_ftrl_from_zero
        >>> w, tx = jnp.array([0.0, 10.0]), scale_by_ftrl_from_zero(0.25, initial_accumulator_value=0.0)
        >>> print(w + tx.update(jnp.array([0.5, 0.5]), tx.init(w), w)[0])
        [-0.25  9.75]
    """
    non_negative(learning_rate=learning_rate, initial_accumulator_value=initial_accumulator_value, l1=l1, l2=l2)
    non_negative(l2_shrinkage=l2_shrinkage, beta=beta, **{"-learning_rate_power": -learning_rate_power})
    half = isinstance(learning_rate_power, float) and learning_rate_power == -0.5

    def power(n):
        if half:
            return safe_sqrt(n)
        return jnp.where(n > 0, jnp.where(n > 0, n, 1.0) ** -learning_rate_power, 0.0)

    def init(params):
        return FtrlState(full(params, initial_accumulator_value, real=True), zeros(params))

    def update(updates, state, params):
        rests = jnp.asarray(learning_rate == 0)
        rate = jnp.where(rests, 1.0, learning_rate)

        def leaf(g, n, z, w):
            g, g_sq = clip_and_square(g, room=0.5)
            new_n = jnp.minimum(n, float(jnp.finfo(n.dtype).max) / 2) + g_sq
            new_z = z + (g + 2.0 * l2_shrinkage * w - (power(new_n) - power(n)) / rate * w)
            divisor = (power(new_n) + beta) / rate + 2.0 * l2
            step = quotient(_cut(new_z, l1) - new_z, divisor) - w
            return jnp.where(rests | (divisor == 0), 0.0, step), jnp.where(rests, n, new_n), jnp.where(rests, z, new_z)

        updates, n, z = map_leaves(leaf, updates, state.accumulator, state.linear, params)
        return updates, FtrlState(n, z)

    return init, update


def _cut(z: Any, bound: Any) -> Any:
    """z, or the bound in its direction."""
    if not jnp.iscomplexobj(z):
        return jnp.clip(z, -bound, bound)
    return z * jnp.minimum(1.0, bound / jnp.abs(jnp.where(z == 0, 1.0, z)))
