"""RAdam: Adam that divides only after enough gradients to know the divisor."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import bias_correction, divide_by_root, increment, safe_sqrt
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative, range_check
from gradtx.optimizers.adam import ScaleByAdamState, corrected_mean, divisors, next_moments, zero_moments
from gradtx.transforms.basic import scale_by_learning_rate

_at_least_four = range_check("finite and at least 4", lambda x: (x >= 4.0) & (x < math.inf))


@transformation(any_leaves=True, sparse_rows=True, leafwise=True, divides=divisors)
def scale_by_radam(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
):
    """Adam, rectified by the number of squares that its second moment holds; without division while they are few.

        m̂, v̂ as in `scale_by_adam`
        ρ∞ = 2/(1 - b2) - 1,   ρ = ρ∞ - 2t·b2^t/(1 - b2^t)
        r = √((ρ - 4)·(ρ - 2)·ρ∞/((ρ∞ - 4)·(ρ∞ - 2)·ρ))
        u = r·m̂/(√(v̂ + eps_root) + eps)   where ρ > threshold, else m̂

    Gradients above 1.8e19 (float32) count as 1.8e19, since their squares would overflow.

    Args:
        b1, b2, eps, eps_root: as in `scale_by_adam`. If b2 is 0.6 or less, ρ is never above 4, and u = m̂ for ever.
        threshold: the ρ from which on it divides; at least 4, where the variance begins to be finite. With b2 0.999 the
            first divided step is the 6th for 5 (optax, torch), the 5th for 4 (the paper).
        nesterov: take m̂ one step ahead, as `scale_by_nadam` does.

    State: `ScaleByAdamState`: count, int32 scalar; mu, like params; nu, like params, real; 0 at init.
    Raises: ValueError: an argument is out of range.
    Source: Liu et al. 2020 (arXiv:1908.03265), algorithm 2, which has no eps; nesterov from Dozat 2016. Same as optax.
        torch adds eps to the root of the uncorrected v. ρ is computed without the difference of two large numbers:
        to a few ulp at every step. Within 40 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_radam()
        >>> print(tx.update(jnp.array([0.01, -100.0]), tx.init(jnp.zeros(2)))[0].round(4))
        [ 1.e-02 -1.e+02]
    """
    below_one(b1=b1, b2=b2)
    non_negative(eps=eps, eps_root=eps_root)
    _at_least_four(threshold=threshold)

    def update(updates, state, params=None):
        t, width = increment(state.count), float_dtype(updates, state.mu)
        c2, mean = bias_correction(b2, t, width), corrected_mean(b1, t, width, nesterov)
        rho_inf, rho = squares_seen(b2, t, width)
        divides = rho > threshold
        known, limit = (jnp.where(divides, x, 5.0) for x in (rho, rho_inf))  # nothing is infinite or negative
        r = safe_sqrt((known - 4.0) * (known - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * known))
        factor = jnp.where(divides, r, 1.0).astype(width)

        def leaf(g, mu, nu):
            g, mu, nu = next_moments(g, mu, nu, b1, b2)
            m = factor * mean(g, mu)
            return jnp.where(divides, divide_by_root(m, nu / c2, eps, eps_root), m), mu, nu

        updates, mu, nu = map_leaves(leaf, updates, state.mu, state.nu, idle=(b1, b2))
        return updates, ScaleByAdamState(t, mu, nu)

    return zero_moments, update


def squares_seen(b2: Any, t: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """ρ∞ and ρ at step t, to a few ulp.

    With x = -log(b2), ρ∞ is coth(x/2) and ρ is coth(x/2) - 2t/expm1(t·x). Both terms contain 2/x, which is large and
    cancels. What is left is ρ = (1 - h(x)) + t·h(t·x) with h(z) = 2/z - 2/expm1(z), and h has a series.
    """
    if isinstance(b2, float) and b2 == 0.0:
        return jnp.ones((), dtype), jnp.ones((), dtype)
    if isinstance(b2, float):
        x = -math.log(b2)
        rest = 1.0 - (_small(x) if x < 0.5 else 2.0 / x - 2.0 / math.expm1(min(x, 700.0)))
    else:
        x = -jnp.log(jnp.maximum(b2.astype(dtype), jnp.finfo(dtype).tiny))
        rest = 1.0 - _h(x)
    steps = t.astype(dtype)
    return jnp.asarray(2.0 / x + rest, dtype), rest + steps * _h(steps * x)


def _h(z: jax.Array) -> jax.Array:
    """2/z - 2/expm1(z) for z > 0."""
    large = jnp.maximum(z, 0.5)
    return jnp.where(z < 0.5, _small(jnp.minimum(z, 0.5)), 2.0 / large - 2.0 / jnp.expm1(large))


def _small(z: Any) -> Any:
    """The series of h for z < 0.5: 1 - 2·Σ B_2n·z^(2n-1)/(2n)!, with Bernoulli's numbers."""
    total = 0.0
    for number in reversed(_SERIES):
        total = total * z * z + number
    return 1.0 - z * total


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_SERIES = [2 * b / math.factorial(2 * n) for n, b in enumerate(_BERNOULLI, 1)]


@transformation
def radam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
):
    """RAdam: `scale_by_radam`, then `scale_by_learning_rate`.

    Args:
        learning_rate: at least 0; usually 1e-3. The first steps are as long as the gradients.
        b1, b2, eps, eps_root, threshold, nesterov: as in `scale_by_radam`.

    State: a chain's dict, with one entry: `ScaleByAdamState`.
    Source: Liu et al. 2020 (arXiv:1908.03265). Same as optax; torch adds eps to the uncorrected root.
    """
    return chain(
        scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov), scale_by_learning_rate(learning_rate)
    )
