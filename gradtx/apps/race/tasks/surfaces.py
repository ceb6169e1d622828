"""Functions of a few variables with a known minimum: valleys, plateaus, many minima, elongated bowls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task, import_torch, torch_task

DIMENSIONS, CONDITION, STEPS = 10, 1e4, 1000


def rosenbrock() -> Task:
    """A curved valley: descending into it is fast, following it is slow."""
    return _surface(
        "rosenbrock",
        "A curved valley, (1 - w1)² + 100·(w2 - w1²)²: descending into it is fast, following it to (1, 1) is slow.",
        lambda w, xp: (1 - w[..., 0]) ** 2 + 100 * (w[..., 1] - w[..., 0] ** 2) ** 2,
        box=((-2.0, 2.0), (-1.0, 3.0)),
        target=1e-2,
    )


def beale() -> Task:
    """Plateaus between steep walls; the minimum lies in a flat valley."""

    def value(w: Any, xp: Any) -> Any:
        x, y = w[..., 0], w[..., 1]
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    about = "Beale's function: plateaus between steep walls, and the minimum, (3, 1/2), in a flat valley."
    return _surface("beale", about, value, box=((-1.0, 4.0), (-1.0, 1.0)), target=1e-3)


def rastrigin() -> Task:
    """A bowl full of local minima."""
    return _surface(
        "rastrigin",
        "Rastrigin's function, Σ wᵢ² + 10·(1 - cos 2π·wᵢ): a bowl with a local minimum near every pair of whole "
        "numbers. Descent ends in the nearest one; the target is reached if w1 or w2 is at its best place.",
        lambda w, xp: (w**2 + 10 * (1 - xp.cos(2 * np.pi * w))).sum(-1),
        box=((-1.0, 1.0),) * 2,
        target=1.0,
    )


def ill_conditioned() -> Task:
    """A quadratic with curvatures that differ by 10⁴, along directions other than the axes."""
    curvatures = np.float32(np.geomspace(1 / CONDITION, 1, DIMENSIONS) * np.sqrt(CONDITION))
    turn = np.float32(np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSIONS, DIMENSIONS)))[0])

    def value(w: Any, xp: Any) -> Any:
        along = w @ xp.asarray(turn, dtype=w.dtype)
        return (xp.asarray(curvatures, dtype=w.dtype) * along**2).sum(-1) / 2

    return _surface(
        "ill_conditioned",
        f"A quadratic in {DIMENSIONS} dimensions with curvatures from 0.01 to 100, along directions other than the "
        "axes, so that a step size for each coordinate does not help.",
        value,
        box=((-1.0, 1.0),) * DIMENSIONS,
        target=1e-2,
    )


def bowl() -> Task:
    """A bowl that is elongated along an axis."""
    return _surface(
        "bowl",
        "An elongated bowl, 3·w1² + 10·w2², along the coordinate axes.",
        lambda w, xp: 3 * w[..., 0] ** 2 + 10 * w[..., 1] ** 2,
        box=((-4.0, 4.0),) * 2,
        target=1e-3,
    )


def _surface(
    name: str, about: str, value: Callable[[Any, Any], Any], *, box: tuple[tuple[float, float], ...], target: float
) -> Task:
    """A task from a function `(w, jax.numpy or torch) -> value` of arrays `[..., n]`; starts are uniform in the box."""
    low, high = jnp.array(box, jnp.float32).T

    def start(seed: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.key(seed), (len(box),), jnp.float32, low, high)

    return Task(
        name=name,
        about=about,
        unit="value",
        steps=STEPS,
        every=STEPS // 50,
        target=target,
        rates=25,
        seeds=16,
        start=start,
        loss=lambda w, batch: value(w, jnp),
        score=lambda w: value(w, jnp),
        torch=torch_task(start, lambda parameters, batch: value(parameters[0], import_torch())),
    )
