"""Second derivatives of a loss of (params, inputs, targets): `gradtx.compat.optax.second_order`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

__all__ = ["fisher_diag", "hessian_diag", "hvp"]

Loss = Callable[[Any, Any, Any], Any]


def hvp(loss: Loss, v: jax.Array, params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The Hessian of the loss times a vector of all parameters."""
    _, shaped = ravel_pytree(params)
    gradient = jax.grad(lambda p: loss(p, inputs, targets))
    return ravel_pytree(jax.jvp(gradient, [params], [shaped(v)])[1])[0]


def hessian_diag(loss: Loss, params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The diagonal of the Hessian of the loss, for all parameters as one vector."""
    size = ravel_pytree(params)[0].size

    def entry(k: jax.Array) -> jax.Array:
        unit = jnp.zeros(size).at[k].set(1.0)
        return jnp.vdot(unit, hvp(loss, unit, params, inputs, targets))

    return jax.lax.map(entry, jnp.arange(size))


def fisher_diag(negative_log_likelihood: Loss, params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The squares of the gradient, for all parameters as one vector."""
    gradient = jax.grad(negative_log_likelihood)(params, inputs, targets)
    return ravel_pytree(gradient)[0] ** 2
