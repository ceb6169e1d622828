"""Cases of L-BFGS and line searches."""

from typing import Any

import jax
import jax.numpy as jnp

import gradtx
from gradtx.core.leaves import float_dtype
from gradtx.core.trees import is_trained
from tests.contract.adding import NEEDS_PARAMS, add


def bowl(params: Any) -> jax.Array:
    """Half the squared distance of all trained entries from 2, for any tree."""
    width = float_dtype(params)
    entries = [jnp.asarray(p) for p in jax.tree.leaves(params) if is_trained(p)]
    squares = [jnp.sum(jnp.square(jnp.abs(p - jnp.asarray(2, p.dtype))).astype(width)) for p in entries]
    return sum(squares, jnp.zeros((), width)) / 2


# The laws move the parameters and draw the gradients as they like. With None for value and gradient a search has those
# of the parameters that it is given; the gradients drawn are its directions, half of which lead uphill.
SEARCH = {**NEEDS_PARAMS, "smooth": False, "extras": {"value": None, "grad": None, "value_fn": bowl}}

lbfgs_numbers = {"memory_size": 3, "scale_init_precond": True, "axis_name": None}
identity_numbers = {"memory_size": 1, "scale_init_precond": False, "axis_name": None}
add("scale_by_lbfgs", gradtx.scale_by_lbfgs, **lbfgs_numbers, case=NEEDS_PARAMS)
add("scale_by_lbfgs-identity", gradtx.scale_by_lbfgs, **identity_numbers, case=NEEDS_PARAMS)
backtracking_numbers = {
    "max_backtracking_steps": 12,
    "slope_rtol": 1e-2,
    "decrease_factor": 0.5,
    "increase_factor": 1.5,
    "max_learning_rate": 1.0,
    "atol": 0.0,
    "rtol": 0.0,
    "axis_name": None,
}
BACKTRACKING = gradtx.scale_by_backtracking_linesearch
add("scale_by_backtracking_linesearch", BACKTRACKING, **backtracking_numbers, store_grad=False, case=SEARCH)
add("scale_by_backtracking_linesearch-grad", BACKTRACKING, **backtracking_numbers, store_grad=True, case=SEARCH)
zoom_numbers = {
    "max_linesearch_steps": 12,
    "tol": 0.0,
    "increase_factor": 2.0,
    "slope_rtol": 1e-4,
    "curv_rtol": 0.5,
    "approx_dec_rtol": 1e-6,
    "stepsize_precision": 1e-5,
    "axis_name": None,
}
ZOOM = gradtx.scale_by_zoom_linesearch
add(
    "scale_by_zoom_linesearch", ZOOM, **zoom_numbers, max_learning_rate=None, initial_guess_strategy="keep", case=SEARCH
)
add(
    "scale_by_zoom_linesearch-bounded",
    ZOOM,
    **zoom_numbers,
    max_learning_rate=1.5,
    initial_guess_strategy="one",
    case=SEARCH,
)
ZOOM_CASE = ZOOM(**zoom_numbers, max_learning_rate=None, initial_guess_strategy="one")
add("lbfgs", gradtx.lbfgs, learning_rate=None, **lbfgs_numbers, linesearch=ZOOM_CASE, case=SEARCH)
add("lbfgs-rate", gradtx.lbfgs, learning_rate=0.1, **lbfgs_numbers, linesearch=None, case=NEEDS_PARAMS)
