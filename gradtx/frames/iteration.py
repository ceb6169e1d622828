"""Eigenvectors of a running mean, decomposed or by one step from those before."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradtx.transforms.decompositions import eigh, qr
from gradtx.transforms.products import product


def eigenvectors(mean: jax.Array, old: jax.Array, first: jax.Array | None) -> jax.Array:
    """The new Q of a running mean, at first or without `first` by decomposition; the old one where the mean is 0."""
    mean, old = jax.lax.stop_gradient((mean, old))
    size = jnp.max(jnp.abs(mean), axis=(-2, -1), keepdims=True)
    unit = mean / jnp.where(size == 0, jnp.ones_like(size), size).astype(mean.dtype)

    def begun() -> jax.Array:
        return eigh(unit)[1][..., ::-1]

    def gone_on() -> jax.Array:
        turned = product(unit, old)
        order = jnp.argsort(-jnp.sum(old.conj() * turned, axis=-2).real, axis=-1)
        return qr(jnp.take_along_axis(turned, order[..., None, :], axis=-1))

    if first is not None and old.ndim == 2:  # a stack may be split over devices, which must not wait for each other
        first |= jnp.all(old == jnp.eye(old.shape[-1], dtype=old.dtype))  # the first gradients were zero
    new = begun() if first is None else jax.lax.cond(first, begun, gone_on)
    return jnp.where(size == 0, old, new)
