"""Eigenvectors of a running mean, decomposed or by one step from those before."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradtx.meshes import gathered_once
from gradtx.transforms.decompositions import eigh, qr
from gradtx.transforms.products import product


def eigenvectors(mean: jax.Array, old: jax.Array, first: jax.Array | None) -> jax.Array:
    """The new Q of a running mean; the old one where the mean is 0.

    It is decomposed at first, without `first`, and where the old Q is the identity, as after gradients of zero.
    """
    mean, old = jax.lax.stop_gradient((mean, old))
    size = jnp.max(jnp.abs(mean), axis=(-2, -1), keepdims=True)
    unit = mean / jnp.where(size == 0, jnp.ones_like(size), size).astype(mean.dtype)

    def begun() -> jax.Array:
        return gathered_once(eigh(gathered_once(unit))[1][..., ::-1])

    def gone_on() -> jax.Array:
        before = gathered_once(old)
        turned = product(gathered_once(unit), before)
        order = jnp.argsort(-jnp.sum(before.conj() * turned, axis=-2).real, axis=-1)
        return gathered_once(qr(jnp.take_along_axis(turned, order[..., None, :], axis=-1)))

    if first is None:
        new = begun()
    else:
        identity = jnp.broadcast_to(jnp.eye(old.shape[-1], dtype=old.dtype), old.shape)
        same = jnp.all(old == identity, (-2, -1), keepdims=True)
        anew = first | (same & (size != 0))
        if old.ndim == 2:
            new = jax.lax.cond(jnp.all(anew), begun, gone_on)
        else:
            new = jnp.where(anew, jax.lax.cond(jnp.any(anew), begun, lambda: old), gone_on())
    return jnp.where(size == 0, old, new)
