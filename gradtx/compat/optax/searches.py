"""L-BFGS and line searches under optax's names, arguments, order and defaults."""

from __future__ import annotations

from typing import Any

import gradtx
from gradtx.compat.optax.protocol import optaxed
from gradtx.compat.optax.softer import reported
from gradtx.core.pair import GradientTransformation

__all__ = ["lbfgs", "scale_by_backtracking_linesearch", "scale_by_lbfgs", "scale_by_zoom_linesearch"]

scale_by_lbfgs = optaxed(gradtx.scale_by_lbfgs)


@optaxed
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Any = 1e-4,
    decrease_factor: Any = 0.8,
    increase_factor: Any = 1.5,
    max_learning_rate: Any = 1.0,
    atol: Any = 0.0,
    rtol: Any = 0.0,
    store_grad: bool = False,
    verbose: bool | int = False,
) -> GradientTransformation:
    """`gradtx.scale_by_backtracking_linesearch`."""
    tx = gradtx.scale_by_backtracking_linesearch(
        max_backtracking_steps, slope_rtol, decrease_factor, increase_factor, max_learning_rate, atol, rtol, store_grad
    )
    return reported(tx) if verbose else tx


@optaxed
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Any = None,
    tol: Any = 0.0,
    increase_factor: Any = 2.0,
    slope_rtol: Any = 1e-4,
    curv_rtol: Any = 0.9,
    approx_dec_rtol: Any = 1e-6,
    stepsize_precision: Any = 1e-5,
    initial_guess_strategy: str = "keep",
    verbose: bool | int = False,
) -> GradientTransformation:
    """`gradtx.scale_by_zoom_linesearch`."""
    tx = gradtx.scale_by_zoom_linesearch(
        max_linesearch_steps,
        max_learning_rate,
        tol,
        increase_factor,
        slope_rtol,
        curv_rtol,
        approx_dec_rtol,
        stepsize_precision,
        initial_guess_strategy,
    )
    return reported(tx) if verbose else tx


@optaxed
def lbfgs(
    learning_rate: Any = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one"),  # noqa: B008
) -> GradientTransformation:
    """`gradtx.lbfgs`."""
    return gradtx.lbfgs(learning_rate, memory_size, scale_init_precond, linesearch)
