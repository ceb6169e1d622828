"""Which gradients RMSProp amplifies and which it attenuates: two steps in one dimension."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.hyper import as_number
from gradtx.errors import finite, positive
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.plots.style import DIVERGING, axes, color_scale, halo, in_style

SIDE, ROOM = 240, 6  # points along a side, even because C is 0 at g2 = 0; free points that a sign needs around it


def amplification(rho: float = 0.9, eps: float = 1e-8, limit: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """How much larger than its gradient the second of two updates of `scale_by_rms` is.

        C(g1, g2) = |v2| - |g2|

    where v2 is the second update, after the gradients g1 and g2.

    Args:
        rho: the decay of `scale_by_rms`; in [0, 1].
        eps: its eps, inside the root; at least 0.
        limit: the gradients lie in [-limit, limit].

    Returns: the gradients along a side, `[n]`, and C, `[n, n]`: a row for each g2, a column for each g1.

    Example:
        >>> import gradtx
        >>> gradients, change = gradtx.plots.amplification(rho=0.0, limit=4.0)
        >>> print(change[-1, 0])  # every step is 1, also where g2 is 4
        -3.0
    """
    rho, eps, limit = (float(as_number(k, x)) for k, x in (("rho", rho), ("eps", eps), ("limit", limit)))
    positive(limit=limit)
    finite(limit=limit)
    tx = scale_by_rms(rho, eps)
    side = limit * np.linspace(-1.0, 1.0, SIDE)

    def change(g1: jax.Array, g2: jax.Array) -> jax.Array:
        _, state = tx.update(g1, tx.init(jnp.zeros_like(g1)))
        v2, _ = tx.update(g2, state)
        return jnp.abs(v2) - jnp.abs(g2)

    g = jnp.asarray(side, float)
    over_g1 = jax.vmap(change, in_axes=(0, None))
    return side, np.asarray(jax.jit(jax.vmap(over_g1, in_axes=(None, 0)))(g, g), np.float64)


def amplification_map(
    rho: float = 0.9, eps: float = 1e-8, limit: float = 8.0, *, colorbar: bool = True, ax: Any = None
) -> Any:
    """Draw which second gradients RMSProp amplifies after a first one: `amplification`, red above 0 and blue below.

    The line is C = 0; the signs + and - are where C is positive and negative, so that the map can be read in grey.
    Colours end at ±limit.

    Args:
        rho: the decay of the running mean of squares; in [0, 1].
        eps: inside the root; at least 0.
        limit: of both gradients; greater than 0.
        colorbar: draw the scale of the colours.
        ax: the matplotlib Axes to draw in; None: pyplot's current one.

    Returns: the Axes.
    Raises: ValueError: an argument out of range.

    Example:
        >>> import gradtx
        >>> from matplotlib.figure import Figure
        >>> ax = gradtx.plots.amplification_map(rho=0.99, ax=Figure().subplots())
    """
    side, change = amplification(rho, eps, limit)
    with in_style():
        ax = axes(ax)
        extent = (-limit, limit, -limit, limit)
        image = ax.imshow(
            change, extent=extent, origin="lower", cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="bilinear"
        )
        if change.min() < 0 < change.max():
            ax.contour(side, side, change, levels=[0.0], colors="black", linewidths=1.6)
        rings = limit * np.array([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75])
        ax.contour(side, side, change, levels=rings, colors="0.25", linewidths=0.5, linestyles="solid")
        _signs(ax, side, change)
        ax.set(title=f"ρ = {float(rho):g}", xlabel="first gradient $g_1$")
        ax.set(ylabel="second gradient $g_2$", xticks=_ticks(limit), yticks=_ticks(limit), aspect="equal")
        if colorbar:
            beyond = ["neither", "min", "max", "both"][(change.min() < -limit) + 2 * (change.max() > limit)]
            color_scale(ax, image, "$C = |v_2| - |g_2|$", extend=beyond, ticks=_ticks(limit))
    return ax


def _ticks(limit: float) -> list[float]:
    return [-limit, -0.5 * limit, 0.0, 0.5 * limit, limit]


def _signs(ax: Any, side: np.ndarray, change: np.ndarray) -> None:
    """A + and a − at the centres of the amplified and attenuated regions, mirrored at both axes like the map."""
    for sign, holds in (("+", change > 0), ("−", change < 0)):
        depth = _depth(holds)
        if depth.max() < ROOM:
            continue
        places = np.argwhere(depth == depth.max())
        y, x = np.abs(side[places[np.argmin(np.abs(side[places[:, 1]]))]])
        x, y = (0.0 if z < 3 * (side[1] - side[0]) else z for z in (x, y))
        for g1, g2 in {(x, y), (-x, y), (x, -y), (-x, -y)}:
            ax.text(g1, g2, sign, ha="center", va="center", fontsize=13, fontweight="bold", path_effects=halo())


def _depth(holds: np.ndarray) -> np.ndarray:
    """For each point, its distance in grid steps from the nearest one where this does not hold, or from the edge."""
    inside, depth = np.pad(holds, 1), np.zeros(holds.shape, int)
    while inside.any():
        core = inside[1:-1, 1:-1]
        depth += core
        core = core & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        inside = np.pad(core, 1)
    return depth
