"""Inverse roots of positive semidefinite matrices, in float32 nearly as exact as float64 would be."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gradtx.transforms.decompositions import eigh
from gradtx.transforms.products import adjoint, product


def inverse_root(matrix: jax.Array, power: float, eps: float = 1e-6) -> jax.Array:
    """(A + eps·λ·1)^(-power), with the largest eigenvalue λ of A, of a matrix or of each matrix of a stack.

    The eigenvalues of a float32 decomposition are off by about 1e-7·λ, more than the small ones of an A whose condition
    is 1e8. Here the decomposition is corrected twice: by its residual, whose products are exact, and by a decomposition
    of only the part with eigenvalues below √(2⁻²³)·λ.

    Error in the Frobenius norm, relative to exact arithmetic with the same float32 matrix: below 4e-4·power for eps =
    1e-6 and 4e-3·power for 1e-7, up to 256 × 256 and condition 1e8. A plain decomposition has .25·power and 4·power.

    Args:
        matrix: ... × n × n, Hermitian, float32 or float64, or complex. A zero matrix gives zero. One that is not
            finite gives NaN. It counts as a constant in derivatives.
        power: above 0; 1/4 for Shampoo with two sides.
        eps: what is added to the eigenvalues, relative to the largest; above 0. Those that are still below 1e-9·λ
            (float64: 1e-18·λ) count as that.
    """
    matrix = jax.lax.stop_gradient(matrix)
    size = jnp.max(jnp.abs(matrix), (-2, -1), keepdims=True)
    nothing, size = size == 0, _power_of_two(size)  # division by another number would round
    unit = matrix / size.astype(matrix.dtype)
    unit = jnp.where(nothing, _diagonal(jnp.ones(matrix.shape[:-1], matrix.dtype)), unit)
    values, vectors = eigh(unit)
    top = _power_of_two(jnp.max(jnp.abs(values), -1, keepdims=True))
    values, unit = values / top, unit / top[..., None].astype(unit.dtype)
    values, turn, rest = _corrected(unit, values, vectors)
    values = jnp.maximum(values + eps * values[..., -1:], _floor(values.dtype) * values[..., -1:])
    inside = _first_order(values, rest, power)
    vectors = product(vectors, turn)
    root = product(product(vectors, inside), adjoint(vectors))
    root = (root + adjoint(root)) / 2
    # Not one power of the product, which may overflow.
    scale = size**-power * top[..., None] ** -power
    return jnp.where(nothing, jnp.zeros_like(root), root * scale.astype(root.dtype))


def _corrected(unit: jax.Array, values: jax.Array, vectors: jax.Array) -> tuple[jax.Array, ...]:
    """Eigenvalues, a rotation of the eigenvectors, and the small matrix that is left after the eigenvalues."""
    error = product(adjoint(vectors), _residual(unit, values, vectors))
    error = (error + adjoint(error)) / 2
    cut = math.sqrt(float(jnp.finfo(values.dtype).eps)) * values[..., -1:]
    small = values < cut
    both = small[..., None] & small[..., None, :]
    part = jnp.where(
        both,
        (error + _diagonal(values).astype(error.dtype)) / cut[..., None].astype(error.dtype),
        jnp.zeros_like(error),
    )
    # The others keep their places: they are their own eigenvectors, in rising order, above the small ones.
    places = jnp.broadcast_to(2.0 + jnp.arange(values.shape[-1], dtype=values.dtype), values.shape)
    part = part + _diagonal(jnp.where(small, 0.0, places)).astype(part.dtype)
    again, turn = eigh(part)
    values = jnp.where(small, again * cut, values)
    inner = jnp.where(both, part * cut[..., None].astype(part.dtype), error)
    left = product(product(adjoint(turn), inner), turn)
    left = left - _diagonal(jnp.where(small, values, 0.0)).astype(left.dtype)
    more = jnp.diagonal(left, axis1=-2, axis2=-1).real
    return values + more, turn, left - _diagonal(more).astype(left.dtype)


def _first_order(values: jax.Array, rest: jax.Array, power: float) -> jax.Array:
    """(diag(λ) + rest)^(-power) to first order in the rest: by the divided differences of the power."""
    low, high = values[..., None], values[..., None, :]
    gap = low - high
    close = jnp.abs(gap) <= 1e-2 * jnp.minimum(low, high)
    slope = -power * jnp.sqrt(low * high) ** (-power - 1)
    slope = jnp.where(close, slope, (low**-power - high**-power) / jnp.where(close, 1.0, gap))
    return _diagonal(values**-power).astype(rest.dtype) + slope.astype(rest.dtype) * rest


def _residual(unit: jax.Array, values: jax.Array, vectors: jax.Array) -> jax.Array:
    """A·V - V·diag(λ), of about 1e-7, to about 1e-10: the leading halves of all digits multiply without rounding."""
    (a, a_low), (v, v_low), (d, d_low) = (_halves(x) for x in (unit, vectors, values[..., None, :].astype(unit.dtype)))
    first = product(a, v) - v * d
    second = (product(a, v_low) - v_low * d) + (product(a_low, v) - v * d_low)
    return first + second + (product(a_low, v_low) - v_low * d_low)


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The first half of the binary digits of numbers up to one, and what is left."""
    unit = 2.0 ** ((jnp.finfo(x.dtype).nmant + 1) // 2)
    first = jnp.round(x * unit) / unit
    return first, x - first


def _power_of_two(x: jax.Array) -> jax.Array:
    """About the size of x."""
    exponent = jnp.clip(jnp.frexp(x)[1], -120, 120)
    return jnp.ldexp(jnp.ones_like(x), exponent)


def _diagonal(x: jax.Array) -> jax.Array:
    n = x.shape[-1]
    return x[..., None] * jnp.eye(n, dtype=x.dtype).reshape(*(1,) * (x.ndim - 1), n, n)


def _floor(dtype: jnp.dtype) -> float:
    return 1e-9 if jnp.finfo(dtype).bits == 32 else 1e-18
