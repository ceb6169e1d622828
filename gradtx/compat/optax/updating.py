"""What is done with updates and parameters, norms and counts, under optax's names."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradtx
from gradtx.compat.optax import tree
from gradtx.core.numerics import increment, safe_sqrt

__all__ = [
    "apply_updates",
    "bias_correction",
    "global_norm",
    "incremental_update",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
    "periodic_update",
    "safe_increment",
    "safe_int32_increment",
    "safe_norm",
    "safe_root_mean_squares",
    "tree_map_params",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
    "value_and_grad_from_state",
]

apply_updates = gradtx.apply_updates
value_and_grad_from_state = gradtx.value_and_grad_from_state
bias_correction = tree.bias_correction
tree_map_params = tree.map_params
update_infinity_moment = tree.update_infinity_moment
update_moment = tree.update_moment
update_moment_per_elem_norm = tree.update_moment_per_elem_norm


def global_norm(updates: Any) -> jax.Array:
    """`gradtx.global_norm`."""
    return gradtx.global_norm(updates)


def incremental_update(new_tensors: Any, old_tensors: Any, step_size: Any) -> Any:
    """A part of the way from the old to the new numbers; in old dtypes. `gradtx.average` does this inside a chain."""
    return jax.tree.map(
        lambda new, old: None if new is None else step_size * new + (1.0 - step_size) * old,
        new_tensors,
        old_tensors,
        is_leaf=lambda x: x is None,
    )


def periodic_update(new_tensors: Any, old_tensors: Any, steps: Any, update_period: int) -> Any:
    """The new numbers in every update_period-th step, and the old ones else."""
    return jax.lax.cond(jnp.mod(steps, update_period) == 0, lambda: new_tensors, lambda: old_tensors)


def safe_increment(count: Any) -> jax.Array:
    """The count plus one; an integer stops at the largest number of its type."""
    count = jnp.asarray(count, getattr(count, "dtype", None))
    if jnp.issubdtype(count.dtype, jnp.integer):
        return increment(count) if count.dtype == jnp.int32 else _increment(count)
    if jnp.issubdtype(count.dtype, jnp.floating):
        return jnp.where(count < jnp.finfo(count.dtype).max, count + 1, count)
    raise ValueError(f"Cannot safely increment a count of type {count.dtype}: give an integer or a float")


def _increment(count: jax.Array) -> jax.Array:
    most = jnp.asarray(np.iinfo(count.dtype).max, count.dtype)
    return jnp.where(count < most, count + jnp.ones((), count.dtype), count)


safe_int32_increment = safe_increment


def safe_norm(x: Any, min_norm: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> jax.Array:
    """A norm that is at least min_norm, with a finite derivative where it is."""
    norm = jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=True)
    usable = jnp.where(norm <= min_norm, jnp.ones_like(x), x)
    norm = norm if keepdims else jnp.linalg.norm(x, ord=ord, axis=axis)
    taken = jnp.linalg.norm(usable, ord=ord, axis=axis, keepdims=keepdims)
    return jnp.where(norm <= min_norm, min_norm, taken)


def safe_root_mean_squares(x: Any, min_rms: Any) -> jax.Array:
    """The root mean square, at least min_rms, with a finite derivative where it is."""
    rms = safe_sqrt(jnp.mean(jnp.abs(x) ** 2))
    return jnp.where(rms <= min_rms, min_rms, rms)


def per_example_global_norm_clip(grads: Any, l2_norm_clip: Any) -> tuple[Any, jax.Array]:
    """The sum of the gradients of examples, each clipped to a norm over all leaves; and how many were clipped."""
    grads = jax.tree.map(lambda g: g if jnp.issubdtype(g.dtype, jnp.inexact) else g.astype(jnp.float32), grads)
    _require_examples(jax.tree.leaves(grads))
    norms = jax.vmap(gradtx.global_norm)(grads)
    factors = jnp.minimum(1.0, l2_norm_clip / jnp.where(norms == 0, 1.0, norms))
    factors = jnp.where(norms == 0, 1.0, factors)
    total = jax.tree.map(lambda g: jnp.tensordot(factors.astype(g.dtype), g, axes=1), grads)
    return total, jnp.sum(norms > l2_norm_clip)


def per_example_layer_norm_clip(grads: Any, global_l2_norm_clip: Any, uniform: bool = True) -> tuple[Any, Any]:
    """The sum of the gradients of examples, each leaf clipped to a norm of its own; and how many were clipped.

    The squares of the bounds sum to that of the global one: equal parts with uniform, else in proportion to the number
    of entries.
    """
    leaves, structure = jax.tree.flatten(grads)
    _require_examples(leaves)
    sizes = [g[0].size for g in leaves]
    shares = [1.0 / len(leaves) if uniform else size / sum(sizes) for size in sizes]
    clipped = [
        per_example_global_norm_clip(g, global_l2_norm_clip * share**0.5)
        for g, share in zip(leaves, shares, strict=True)
    ]
    return tuple(jax.tree.unflatten(structure, list(part)) for part in zip(*clipped, strict=True))


def _require_examples(leaves: list) -> None:
    if any(g.ndim == 0 or g.shape[0] != leaves[0].shape[0] for g in leaves):
        raise ValueError("Expected gradients of examples, with an axis of the same length in front of every leaf")
