"""Functions of a few variables whose minimum is known: valleys, plateaus, many minima, elongated bowls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.torch_tasks import torch_task
from gradtx.optional_imports import extra

DIMENSIONS, CONDITION = 10, 1e4


def rosenbrock() -> Task:
    """A curved valley: down to it is quick, along it is slow."""
    return _surface(
        "rosenbrock",
        "A curved valley, (1 - w1)² + 100·(w2 - w1²)²: down to it is quick, along it to (1, 1) is slow.",
        lambda w, xp: (1 - w[..., 0]) ** 2 + 100 * (w[..., 1] - w[..., 0] ** 2) ** 2,
        low=(-2.0, -1.0),
        high=(2.0, 3.0),
        target=1e-2,
    )


def beale() -> Task:
    """Plateaus with steep walls; the minimum lies in a flat valley."""

    def value(w: Any, xp: Any) -> Any:
        x, y = w[..., 0], w[..., 1]
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    return _surface(
        "beale",
        "Beale's function: plateaus between steep walls, and the minimum, (3, 1/2), in a flat valley.",
        value,
        low=(-1.0, -1.0),
        high=(4.0, 1.0),
        target=1e-3,
    )


def rastrigin() -> Task:
    """A bowl full of local minima."""

    def value(w: Any, xp: Any) -> Any:
        return (w**2 + 10 * (1 - xp.cos(2 * np.pi * w))).sum(-1)

    return _surface(
        "rastrigin",
        "Rastrigin's function, Σ wᵢ² + 10·(1 - cos 2π·wᵢ): a bowl with a local minimum near every pair of whole "
        "numbers. Descent ends in the one it starts in; the target is met where w1 or w2 is in the right place.",
        value,
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
        target=1.0,
    )


def ill_conditioned() -> Task:
    """A quadratic whose curvatures differ by 10⁴, along directions that are not those of the axes."""
    curvatures = np.float32(np.geomspace(1 / CONDITION, 1, DIMENSIONS) * np.sqrt(CONDITION))
    turn = np.float32(np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSIONS, DIMENSIONS)))[0])

    def value(w: Any, xp: Any) -> Any:
        along = w @ xp.asarray(turn, dtype=w.dtype)
        return (xp.asarray(curvatures, dtype=w.dtype) * along**2).sum(-1) / 2

    return _surface(
        "ill_conditioned",
        f"A quadratic in {DIMENSIONS} dimensions with curvatures from 0.01 to 100, along directions that are not "
        "those of the axes, so that no step size for each coordinate mends it.",
        value,
        low=(-1.0,) * DIMENSIONS,
        high=(1.0,) * DIMENSIONS,
        target=1e-2,
    )


def bowl() -> Task:
    """A bowl that is elongated along an axis."""
    return _surface(
        "bowl",
        "An elongated bowl, 3·w1² + 10·w2²; its axes are those of the coordinates.",
        lambda w, xp: 3 * w[..., 0] ** 2 + 10 * w[..., 1] ** 2,
        low=(-4.0, -4.0),
        high=(4.0, 4.0),
        target=1e-3,
    )


def _surface(
    name: str,
    about: str,
    value: Callable[[Any, Any], Any],
    *,
    low: tuple[float, ...],
    high: tuple[float, ...],
    target: float,
    steps: int = 1000,
) -> Task:
    """A task from a function `(w, jax.numpy or torch) -> value` of arrays `[..., n]`; its starts lie in a box."""
    box = jnp.array(low, jnp.float32), jnp.array(high, jnp.float32)

    def start(seed: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.key(seed), (len(low),), jnp.float32, *box)

    def loss(w: jax.Array, batch: None) -> jax.Array:
        return value(w, jnp)

    def torch_loss(parameters: list[Any], batch: None) -> Any:
        with extra("peers"):
            import torch
        return value(parameters[0], torch)

    return Task(
        name=name,
        about=about,
        unit="value",
        steps=steps,
        every=steps // 50,
        target=target,
        rates=25,
        seeds=16,
        start=start,
        loss=loss,
        score=lambda w: loss(w, None),
        torch=torch_task(start, torch_loss),
    )
