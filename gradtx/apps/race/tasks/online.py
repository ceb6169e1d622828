"""Sequences of losses on which Adam is known to go to the worst point: Reddi et al. 2018."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradtx.apps.race.task import Task


def reddi() -> Task:
    """The synthetic example of section 5: 1010·x once in 101 steps, else -10·x."""
    return _stream(
        "reddi",
        "Reddi's synthetic example: the loss is 1010·x once in 101 steps, else -10·x, for x in [-1, 1]. The best point "
        "is -1. Known: Adam goes to the worst, 1, at b2 = 0.99 and small rates; AMSGrad goes to -1, slowly.",
        lambda t: jnp.where(t % 101 == 0, 1010.0, -10.0),
        period=101,
        cycles=990,
        start=lambda key: jax.random.uniform(key, (), jnp.float32, -0.1, 0.1),
        b1=0.9,
        b2=0.99,
    )


def reddi_theorem() -> Task:
    """The example of theorem 1, C = 3: 3·x once in 3 steps, else -x."""
    return _stream(
        "reddi_theorem",
        "The example of Reddi's theorem 1: the loss is 3·x once in 3 steps, else -x, for x in [-1, 1], starting near "
        "the worst point, 1. The best point is -1. Known: Adam stays at 1 with b1 = 0, b2 = 0.1; AMSGrad goes to -1. "
        "The paper's rate falls as 1/√t; here it is constant, which does not change where they go.",
        lambda t: jnp.where(t % 3 == 0, 3.0, -1.0),
        period=3,
        cycles=9000,
        start=lambda key: jax.random.uniform(key, (), jnp.float32, 0.8, 1.0),
        b1=0.0,
        b2=0.1,
    )


def _stream(
    name: str,
    about: str,
    slopes: Callable[[jax.Array], jax.Array],
    *,
    period: int,
    cycles: int,
    start: Callable[[jax.Array], jax.Array],
    b1: float,
    b2: float,
) -> Task:
    """A task with the loss `slopes(t)·x` at step t. Seeds differ in the start alone.

    Scores are taken at the ends of cycles, after the many small steps uphill, so that no optimizer looks better because
    it has just made the large step. The distance from the best point is, up to a constant factor, the average regret if
    x stayed there. b1 and b2 are the paper's values for the two optimizers that it studies.
    """
    steps = period * cycles
    return Task(
        name=name,
        about=about,
        unit="distance to the best point",
        steps=steps,
        every=period * (cycles // 30),
        target=0.25,
        rates=13,
        seeds=4,
        start=lambda seed: start(jax.random.key(seed)),
        batches=lambda seed: slopes(jnp.arange(steps, dtype=jnp.int32)),
        loss=lambda x, slope: slope.astype(x.dtype) * x,
        score=lambda x: x + 1,
        full_batch=False,
        project=lambda x: jnp.clip(x, -1.0, 1.0),
        hyperparameters={name: {"b1": b1, "b2": b2} for name in ("adam", "amsgrad")},
        counted=False,
    )
