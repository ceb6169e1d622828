"""Eigenvectors, QR and singular values of a matrix or of a stack; on CPU, one matrix after another.

JAX 0.10 on CPU deals the matrices of a stack out to threads, and waits for them in a thread of the same pool. As many
independent stacks as there are threads then wait for each other for ever. Where there are several CPU devices, which
are simulated ones, stacks of more than one matrix go to JAX as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def _one_after_another(decompose: Callable[[jax.Array], Any]) -> Callable[[jax.Array], Any]:
    """A decomposition for stacks too: on CPU a loop, also under vmap; elsewhere as it is."""
    alone = jax.custom_batching.sequential_vmap(decompose)

    def in_turn(x: jax.Array) -> Any:
        if x.ndim == 2:
            return alone(x)
        if jax.device_count() > 1:  # a stack may be split over the devices: a loop would gather it
            return decompose(x)
        found = jax.lax.map(alone, x.reshape(-1, *x.shape[-2:]))
        return jax.tree.map(lambda y: y.reshape(*x.shape[:-2], *y.shape[1:]), found)

    @functools.wraps(decompose)
    def decomposed(x: jax.Array) -> Any:
        return in_turn(x) if jax.default_backend() == "cpu" and x.size else decompose(x)

    return decomposed


@_one_after_another
def eigh(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The eigenvalues of a Hermitian matrix, rising, and its eigenvectors."""
    values, vectors = jnp.linalg.eigh(x)
    return values, vectors


@_one_after_another
def qr(x: jax.Array) -> jax.Array:
    """The orthogonal factor of a matrix."""
    return jnp.linalg.qr(x)[0]


@_one_after_another
def svd(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The singular vectors and values, as many as the shorter side is long."""
    u, s, vh = jnp.linalg.svd(x, full_matrices=False)
    return u, s, vh
