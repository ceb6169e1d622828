"""A network that learns the solution of Burgers' equation from the equation alone (Raissi et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks.networks import Layer, initial

VISCOSITY = 0.05
SIDE, WIDTHS, STEPS = 16, (2, 20, 20, 1), 400


def burgers() -> Task:
    """u_t + u·u_x = ν·u_xx from -sin πx, with u = 0 at both walls.

    The loss is the mean squared residual of the equation, the score the error of the solution. They do not decrease by
    the same factor.
    """
    t, x = collocation(SIDE, np.random.default_rng(0))
    grid_t, grid_x = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, 17), np.linspace(-1, 1, 65), indexing="ij"))
    exact = solution(grid_t, grid_x)

    def loss(layers: Sequence[Layer], batch: None) -> jax.Array:
        dtype = layers[0].weights.dtype
        return jnp.mean(residual(layers, jnp.asarray(t, dtype), jnp.asarray(x, dtype)) ** 2)

    def score(layers: Sequence[Layer]) -> jax.Array:
        dtype = layers[0].weights.dtype
        found = approximation(layers, jnp.asarray(grid_t, dtype), jnp.asarray(grid_x, dtype))
        truth = jnp.asarray(exact, dtype)
        return jnp.sqrt(jnp.sum((found - truth) ** 2) / jnp.sum(truth**2))

    return Task(
        name="burgers",
        about=f"Burgers' equation u_t + u·u_x = {VISCOSITY}·u_xx from -sin πx, for t in [0, 1], u = 0 at x = -1 and 1: "
        f"a network {'-'.join(map(str, WIDTHS))} with tanh minimizes the residual at {len(t)} points; the score is its "
        "error against the Cole-Hopf solution.",
        unit="relative L2 error",
        steps=STEPS,
        every=STEPS // 20,
        target=0.1,
        rates=7,
        seeds=3,
        start=lambda seed: initial(jax.random.key(seed), WIDTHS),
        loss=loss,
        score=score,
    )


def collocation(side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Times in [0, 1] and places in [-1, 1], float64 `[side²]`: a random point in each of side·side cells."""
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij")).reshape(2, -1)
    t, x = (cells + rng.uniform(size=cells.shape)) / side
    return t, 2 * x - 1


def approximation(layers: Sequence[Layer], t: jax.Array, x: jax.Array) -> jax.Array:
    """-sin πx + t·(1 - x²)·network(t, x): exact at the start and at the walls for any network, `[n]`."""
    h = jnp.stack([2 * t - 1, x], axis=-1)
    for layer in layers[:-1]:
        h = jnp.tanh(h @ layer.weights + layer.biases[None, :])
    network = (h @ layers[-1].weights + layers[-1].biases[None, :])[:, 0]
    return -jnp.sin(np.pi * x) + t * (1 - x**2) * network


def residual(layers: Sequence[Layer], t: jax.Array, x: jax.Array) -> jax.Array:
    """u_t + u·u_x - ν·u_xx of the approximation at each point, `[n]`."""
    one = jnp.ones_like(x)

    def along_x(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.jvp(lambda x: approximation(layers, t, x), (x,), (one,))

    (u, u_x), (_, u_xx) = jax.jvp(along_x, (x,), (one,))
    u_t = jax.jvp(lambda t: approximation(layers, t, x), (t,), (one,))[1]
    return u_t + u * u_x - VISCOSITY * u_xx


def solution(t: np.ndarray, x: np.ndarray, nodes: int = 100) -> np.ndarray:
    """The exact solution by the Cole-Hopf transformation, float64, to 1e-10 for t in [0, 1].

        u = -∫ sin(πy)·f(y)·exp(-η²/4νt) dη / ∫ f(y)·exp(-η²/4νt) dη,    y = x - η,    f(y) = exp(-cos(πy)/2πν)

    t and x: `[n]`, t at least 0. nodes: of the Gauss-Hermite quadrature in η/√4νt.
    """
    z, weights = np.polynomial.hermite.hermgauss(nodes)
    y = x[:, None] - np.sqrt(4 * VISCOSITY * t)[:, None] * z
    f = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY))
    return -(np.sin(np.pi * y) * f).sum(-1) / f.sum(-1)
