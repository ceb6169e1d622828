"""Nearest points of sets, for a tree as one vector: `gradtx.compat.optax.projections`.

The sets are those of `gradtx.sets`, with which `gradtx.project_onto` holds parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradtx import sets
from gradtx.core.numerics import quotient

__all__ = [
    "projection_box",
    "projection_halfspace",
    "projection_hypercube",
    "projection_hyperplane",
    "projection_l1_ball",
    "projection_l1_sphere",
    "projection_l2_ball",
    "projection_l2_sphere",
    "projection_linf_ball",
    "projection_non_negative",
    "projection_simplex",
    "projection_vector",
]


def _scaled(make: Callable[[float], sets.Set], tree: Any, scale: Any) -> Any:
    """The nearest point of the set of size 1, stretched: the scale may be traced."""
    vector, shaped = ravel_pytree(tree)
    size = jnp.asarray(scale, vector.dtype)
    near = make(1.0).project(quotient(vector, jnp.broadcast_to(size, vector.shape)), None)
    return shaped(near * size)


def projection_non_negative(tree: Any) -> Any:
    """Numbers of at least 0."""
    return jax.tree.map(lambda x: sets.nonnegative().project(x, None), tree)


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    """Numbers between two bounds, which are numbers or trees like this one."""
    low, high = (_like(tree, bound) for bound in (lower, upper))
    return jax.tree.map(jnp.clip, tree, low, high)


def _like(tree: Any, bound: Any) -> Any:
    if jax.tree.structure(bound) == jax.tree.structure(tree):
        return bound
    return jax.tree.map(lambda x: jnp.asarray(bound, x.dtype), tree)


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    """Numbers from 0 to a side, which is a number or a tree like this one."""
    return projection_box(tree, 0, scale)


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    """Numbers of at most this size."""
    return projection_box(tree, -scale, scale)


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    """Trees of at most this Euclidean norm."""
    return _scaled(sets.l2_ball, tree, scale)


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    """Trees of this Euclidean norm."""
    return _scaled(sets.sphere, tree, scale)


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    """Trees whose absolute values sum up to at most this."""
    return _scaled(sets.l1_ball, tree, scale)


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    """Trees whose absolute values sum up to this."""
    return _scaled(sets.l1_sphere, tree, scale)


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    """Numbers of at least 0 that sum up to this."""
    return _scaled(sets.simplex, tree, scale)


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    """Trees whose inner product with a is b."""
    vector, shaped, normal = _pair(x, a)
    return shaped(vector + _along(normal, b - jnp.vdot(normal, vector)))


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    """Trees whose inner product with a is at most b."""
    vector, shaped, normal = _pair(x, a)
    return shaped(vector + _along(normal, jnp.minimum(0, b - jnp.vdot(normal, vector))))


def projection_vector(x: Any, a: Any) -> Any:
    """Multiples of a."""
    vector, shaped, normal = _pair(x, a)
    return shaped(_along(normal, jnp.vdot(normal, vector)))


def _pair(x: Any, a: Any) -> tuple[jax.Array, Callable, jax.Array]:
    vector, shaped = ravel_pytree(x)
    return vector, shaped, ravel_pytree(a)[0].astype(vector.dtype)


def _along(normal: jax.Array, inner: Any) -> jax.Array:
    """The multiple of a vector with this inner product with it."""
    return normal * quotient(jnp.asarray(inner, normal.dtype), jnp.vdot(normal, normal))
