"""torch's clips, as transformations that stand in front of an optimizer."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.pair import GradientTransformation
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import is_trained
from gradtx.errors import not_below_zero
from gradtx.transforms.clipping import clip_by_value
from gradtx.transforms.norms import global_norm


@transformation(any_leaves=True)
def clip_grad_norm_(max_norm: Hyper, norm_type: float = 2.0):
    """Multiply all updates by one factor so that a norm of the whole tree does not exceed a bound; 1e-6 is added to it.

        u = g·min(1, max_norm/(‖g‖ + 1e-6))

    Args:
        max_norm: the bound; at least 0.
        norm_type: 2, or infinity for the largest entry.

    State: none.
    Raises: ValueError: the bound is negative or NaN; another norm_type.
    Source: torch's `clip_grad_norm_`. It has no error_if_nonfinite: use `gradtx.skip_nonfinite(tx)`.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradtx.compat import torch
        >>> tx = torch.clip_grad_norm_(1e-6)
        >>> updates, _ = tx.update(jnp.array([3e-6, 0.0]), tx.init(jnp.zeros(2)))
        >>> print(1e8 * updates.round(8))  # a quarter, 1e-6 of 3e-6 + 1e-6
        [75.  0.]
    """
    not_below_zero(max_norm=max_norm)
    if norm_type not in (2.0, math.inf):
        raise ValueError(f"norm_type must be 2 or infinity; got {norm_type!r}")

    def update(updates, state, params=None):
        norm = global_norm(updates) if norm_type == 2.0 else _largest(updates)
        factor = jnp.minimum(1.0, max_norm / (norm + 1e-6))
        return map_leaves(lambda g: factor * g, updates), state

    return lambda params: EmptyState(), update


def clip_grad_value_(clip_value: Any) -> GradientTransformation:
    """torch's `clip_grad_value_`: `gradtx.clip_by_value`."""
    return clip_by_value(clip_value)


def _largest(updates: Any) -> jax.Array:
    """The largest magnitude; 0 of an empty tree."""
    tops = [jnp.max(jnp.abs(g), initial=0.0) for g in jax.tree.leaves(updates) if is_trained(g)]
    return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())
