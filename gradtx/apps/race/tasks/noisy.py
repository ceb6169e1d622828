"""Gradients with noise that has no variance, because its tails are heavy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task

DIMENSIONS, FREEDOM, STEPS = 50, 1.5, 1000


def student(key: jax.Array, freedom: float, shape: tuple[int, ...]) -> jax.Array:
    """Samples of Student's t distribution, float32: √(ν·(U^(-2/ν) - 1))·cos 2πV (Bailey 1994).

    `jax.random.t` takes seconds to compile. U is a multiple of 2⁻²⁴, so no sample exceeds √ν·2^(24/ν).

    Args:
        key: of `jax.random`.
        freedom: ν, greater than 0.
        shape: of the result.
    """
    u, v = jax.random.uniform(key, (2, *shape), jnp.float32)
    return jnp.sqrt(freedom * jnp.expm1(-2 / freedom * jnp.log1p(-u))) * jnp.cos(2 * np.pi * v)


def heavy_tails() -> Task:
    """A quadratic in 50 dimensions; Student's t with 1.5 degrees of freedom is added to the gradient."""
    curvatures = np.float32(np.geomspace(0.1, 1, DIMENSIONS))

    def batches(seed: jax.Array) -> jax.Array:
        return student(jax.random.fold_in(jax.random.key(seed), 1), FREEDOM, (STEPS, DIMENSIONS))

    def score(w: jax.Array) -> jax.Array:
        return jnp.sum(jnp.asarray(curvatures, w.dtype) * w**2) / 2

    return Task(
        name="heavy_tails",
        about=f"A quadratic in {DIMENSIONS} dimensions with curvatures from 0.1 to 1. Each gradient has noise of "
        f"Student's t with {FREEDOM} degrees of freedom, which has no variance: some samples are enormous. The score "
        "is the loss without noise.",
        unit="value",
        steps=STEPS,
        every=STEPS // 50,
        target=2.5,
        rates=13,
        seeds=8,
        start=lambda seed: jax.random.normal(jax.random.key(seed), (DIMENSIONS,), jnp.float32),
        batches=batches,
        loss=lambda w, noise: score(w) + jnp.sum(noise.astype(w.dtype) * w),
        score=score,
        full_batch=False,
    )
