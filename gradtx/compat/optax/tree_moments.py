"""Running means of trees, for transformations that are written with optax's tree utilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import bias_correction as weights
from gradtx.core.trees import is_none

__all__ = ["bias_correction", "update_infinity_moment", "update_moment", "update_moment_per_elem_norm"]


def _each(leaf: Callable[[Any, Any], Any], updates: Any, moments: Any) -> Any:
    return jax.tree.map(lambda g, t: None if g is None else leaf(g, t), updates, moments, is_leaf=is_none)


def update_moment(updates: Any, moments: Any, decay: Any, order: Any) -> Any:
    """decay·m + (1 - decay)·g^order."""
    return _each(lambda g, t: (1 - decay) * g**order + decay * t, updates, moments)


def update_moment_per_elem_norm(updates: Any, moments: Any, decay: Any, order: Any) -> Any:
    """decay·m + (1 - decay)·|g|^order."""
    return _each(lambda g, t: (1 - decay) * _power(g, order) + decay * t, updates, moments)


def _power(g: Any, order: Any) -> Any:
    return g**order if jnp.isrealobj(g) else (g.real**2 + g.imag**2) ** (order / 2)


def update_infinity_moment(updates: Any, moments: Any, decay: Any, eps: Any) -> Any:
    """max(|g| + eps, decay·m)."""
    return _each(lambda g, t: jnp.maximum(jnp.abs(g) + eps, decay * t), updates, moments)


def bias_correction(moment: Any, decay: Any, count: Any) -> Any:
    """m/(1 - decay^count)."""
    given = decay if isinstance(decay, float) else jnp.asarray(decay, jnp.float32)
    share = weights(given, jnp.asarray(count), jnp.float32)
    return jax.tree.map(lambda t: t / share.astype(t.dtype), moment)
