"""Of what the frame of eigenvectors takes its means: gradients, or with kl those that the other side has whitened."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq, ema
from gradtx.frames.carry import along_columns, along_rows
from gradtx.transforms.products import adjoint, product


def clipped(g: jax.Array) -> jax.Array:
    """g with entries no larger than that their products are finite."""
    limit = math.sqrt(float(jnp.finfo(g.dtype).max) / max(g.shape[-2:])) / 2
    size = jnp.abs(g)
    return jnp.where(size > limit, g * (limit / jnp.where(size > limit, size, jnp.ones_like(size))).astype(g.dtype), g)


def whitened(basis: Any, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """L^(-1/2)·g/√m and g·R^(-1/2)/√n, up to rotations that their products do not see."""
    m, n = g.shape[-2:]
    by_rows, by_columns = _inverse_roots(basis, g)
    left = product(adjoint(basis.left), g) * (by_rows / m**0.5).astype(g.dtype)
    right = product(g, basis.right) * (by_columns / n**0.5).astype(g.dtype)
    return left, right


def learnt(new: Any, basis: Any, g: jax.Array, decay: float) -> Any:
    """The estimates of the eigenvalues with g; those of the first gradient stand alone."""
    y = product(product(adjoint(basis.left), g), basis.right)
    by_rows, by_columns = _inverse_roots(basis, g)
    of_rows = jnp.mean(abs_sq(y * by_columns.astype(y.dtype)), -1, keepdims=True)
    of_columns = jnp.mean(abs_sq(y * by_rows.astype(y.dtype)), -2, keepdims=True)
    begun = _begun(basis)
    return new._replace(
        row_values=jnp.where(begun, ema(basis.row_values, of_rows, decay), of_rows),
        column_values=jnp.where(begun, ema(basis.column_values, of_columns, decay), of_columns),
    )


def turned(new: Any, old: Any, g: jax.Array, first: jax.Array) -> Any:
    """The estimates in a new basis: carried like a second moment; in the first one, those of the first gradient."""
    carried_rows = along_rows(product(adjoint(old.left), new.left), "nonnegative", old.row_values)
    carried_columns = along_columns(product(adjoint(old.right), new.right), "nonnegative", old.column_values)
    g = jax.lax.stop_gradient(g).astype(new.left.dtype)
    size = _size(g)
    unit = g / size.astype(g.dtype)
    own_rows = jnp.mean(abs_sq(product(adjoint(new.left), unit)), -1, keepdims=True) * size
    own_columns = jnp.mean(abs_sq(product(unit, new.right)), -2, keepdims=True) * size
    return new._replace(
        row_values=jnp.where(first, own_rows, carried_rows),
        column_values=jnp.where(first, own_columns, carried_columns),
    )


def _inverse_roots(basis: Any, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """d_L^(-1/2), m × 1, and d_R^(-1/2), 1 × n; that of the size of the gradient before there are any."""
    start, begun = _size(g) ** -0.5, _begun(basis)
    by_rows = jnp.where(begun, _inverse_root(basis.row_values), start)
    return by_rows, jnp.where(begun, _inverse_root(basis.column_values), start)


def _inverse_root(values: jax.Array) -> jax.Array:
    largest = jnp.max(values, (-2, -1), keepdims=True)
    bound = max(10, min(max(values.shape[-2:]), 4000))
    floor = jnp.where(largest > 0, largest / bound**2, 1.0)
    return jnp.maximum(values, floor) ** -0.5


def _begun(basis: Any) -> jax.Array:
    """Whether a gradient other than 0 has been seen, of each matrix."""
    return jnp.max(basis.row_values, (-2, -1), keepdims=True) > 0


def _size(g: jax.Array) -> jax.Array:
    """The root mean square of each matrix, 1 where that is 0."""
    largest = jnp.max(jnp.abs(g), (-2, -1), keepdims=True)
    safe = jnp.where(largest > 0, largest, 1.0)
    square = jnp.mean(abs_sq(g / safe.astype(g.dtype)), (-2, -1), keepdims=True)
    return safe * jnp.where(largest > 0, jnp.sqrt(jnp.where(largest > 0, square, 1.0)), 1.0)
