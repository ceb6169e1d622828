"""Losses that change from step to step: two on which Adam is known to fail, and noise that has no variance."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task

DIMENSIONS, FREEDOM, STEPS = 50, 1.5, 1000  # of heavy_tails


def reddi() -> Task:
    """The synthetic example of Reddi et al. 2018, section 5: 1010·x once in 101 steps, else -10·x."""
    about = (
        "Reddi's synthetic example: the loss is 1010·x once in 101 steps, else -10·x, for x in [-1, 1]. The best point "
        "is -1. Known: Adam goes to the worst, 1, at b2 = 0.99 and small rates; AMSGrad goes to -1, slowly."
    )
    slopes = lambda t: jnp.where(t % 101 == 0, 1010.0, -10.0)  # noqa: E731
    return _stream("reddi", about, slopes, (101, 990), starts=(-0.1, 0.1), b1=0.9, b2=0.99)


def reddi_theorem() -> Task:
    """The example of their theorem 1, C = 3: 3·x once in 3 steps, else -x."""
    about = (
        "The example of Reddi's theorem 1: the loss is 3·x once in 3 steps, else -x, for x in [-1, 1], starting near "
        "the worst point, 1. The best point is -1. Known: Adam stays at 1 with b1 = 0, b2 = 0.1; AMSGrad goes to -1. "
        "The paper's rate falls as 1/√t; here it is constant, which does not change where they go."
    )
    slopes = lambda t: jnp.where(t % 3 == 0, 3.0, -1.0)  # noqa: E731
    return _stream("reddi_theorem", about, slopes, (3, 9000), starts=(0.8, 1.0), b1=0.0, b2=0.1)


def _stream(
    name: str,
    about: str,
    slopes: Callable[[jax.Array], jax.Array],
    cycles: tuple[int, int],
    *,
    starts: tuple[float, float],
    b1: float,
    b2: float,
) -> Task:
    """A task with the loss `slopes(t)·x` at step t; cycles: their length and number. Seeds differ in the start alone.

    Scores are taken at the ends of cycles, after the many small steps uphill, so that no optimizer looks better because
    it has just made the large step. The distance from the best point is, up to a constant factor, the average regret if
    x stayed there. b1 and b2 are the paper's values for the two optimizers that it studies.
    """
    period, number = cycles
    return Task(
        name=name,
        about=about,
        unit="distance to the best point",
        steps=period * number,
        every=period * (number // 30),
        target=0.25,
        rates=13,
        seeds=4,
        start=lambda seed: jax.random.uniform(jax.random.key(seed), (), jnp.float32, *starts),
        batches=lambda seed: slopes(jnp.arange(period * number, dtype=jnp.int32)),
        loss=lambda x, slope: slope.astype(x.dtype) * x,
        score=lambda x: x + 1,
        full_batch=False,
        project=lambda x: jnp.clip(x, -1.0, 1.0),
        hyperparameters={name: {"b1": b1, "b2": b2} for name in ("adam", "amsgrad")},
        counted=False,
    )


def student(key: jax.Array, freedom: float, shape: tuple[int, ...]) -> jax.Array:
    """Samples of Student's t distribution, float32: √(ν·(U^(-2/ν) - 1))·cos 2πV (Bailey 1994).

    `jax.random.t` takes seconds to compile. U is a multiple of 2⁻²⁴, so no sample exceeds √ν·2^(24/ν).
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
