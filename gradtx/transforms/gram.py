"""Running means of Gram matrices and their inverse roots, in stacks; what is not finite stays as it was."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import bias_correction, ema, on_real_and_imag
from gradtx.meshes import gathered_once
from gradtx.transforms.inverse_roots import inverse_root


def mean_or_sum(old: jax.Array, new: jax.Array, b2: Any) -> jax.Array:
    """The running mean after a step; the sum where b2 is 1."""
    if isinstance(b2, float):
        return old + new if b2 == 1.0 else ema(old, new, b2)
    return jnp.where(b2 == 1.0, old + new, ema(old, new, b2))


def weight_so_far(b2: Any, count: jax.Array, dtype: Any) -> Any:
    """By what a running mean is divided for its start at 0; 1 for a sum."""
    if isinstance(b2, float):
        return 1.0 if b2 == 1.0 else bias_correction(b2, count, dtype)
    return jnp.where(b2 == 1.0, 1.0, bias_correction(jnp.where(b2 == 1.0, 0.0, b2), count, dtype))


def cut_for_sums(g: jax.Array) -> jax.Array:
    """The updates with entries clipped where a million products of them with themselves would overflow.

    An infinite entry becomes NaN: it is a fault, and shows.
    """
    limit = math.sqrt(float(jnp.finfo(g.dtype).max) / max(g.shape[-2:])) / 2e3
    # Not a product with limit/|g|: of a constant, XLA would square both factors apart.
    return on_real_and_imag(lambda x: (jnp.clip(x, -limit, limit) + (x - x),))(g)[0]


def finite_or_old(old: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The new members of a stack that are finite, and the old ones instead of the others; which these are."""
    failed = ~jnp.isfinite(new).reshape(len(new), -1).all(-1)
    return jnp.where(failed.reshape(-1, *(1,) * (new.ndim - 1)), old, new), failed


def new_root(mean: jax.Array, old: jax.Array, power: float, eps: Any) -> tuple[jax.Array, jax.Array]:
    """The new roots of a stack, and the old ones of matrices that are zero or have no new root; which have none."""
    mean, old = gathered_once(mean), gathered_once(old)
    new, failed = finite_or_old(old, inverse_root(mean, power, eps))
    nothing = jnp.all(mean == 0, (-2, -1), keepdims=True)
    return gathered_once(jnp.where(nothing, old, new)), failed


def divided_by_power(g: jax.Array, nu: jax.Array, power: float, eps: Any) -> jax.Array:
    """g·(ν + eps·max ν)^(-2·power); 0 where ν is 0."""
    nu = jax.lax.stop_gradient(nu)
    divisor = nu + eps * jnp.max(nu, (-2, -1), keepdims=True)
    nothing = divisor == 0
    return jnp.where(nothing, 0.0, g * (jnp.where(nothing, 1.0, divisor) ** (-2 * power)).astype(g.dtype))
