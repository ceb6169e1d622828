"""PSGD on stacks of matrices: two factors Q of a preconditioner, dense or diagonal, and their steps."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq, quotient, safe_sqrt
from gradtx.transforms.products import adjoint, product

FORMS = ("triangular", "inverse_free")
_MEMORY = 0.9  # of the bounds of the curvature
_LONGEST_TURN = 0.125

Q = jax.Array | None
"""A factor of each matrix of a stack: (K, n, n), its diagonal (K, n), or None for the identity."""


def preconditioned(g: jax.Array, left: Q, right: Q) -> jax.Array:
    """Q_Lᴴ·Q_L·g·Q_Rᴴ·Q_R."""
    g = g if left is None else _times(_adjoint(left), _times(left, g))
    return g if right is None else adjoint(_times(_adjoint(right), _times(right, adjoint(g))))


@functools.partial(jax.jit, static_argnums=0, inline=True)  # at module level, so that each shape is traced once
def learned(form: str, g: jax.Array, noise: jax.Array, kept: tuple, rate: Any) -> tuple:
    """Both factors, and the bounds of their curvature, after a step.

    A matrix that is zero, or whose new ones are not finite, keeps the old ones; the second result says which matrices
    are not finite.
    """
    kept = jax.lax.stop_gradient(kept)
    g = g + jnp.mean(jnp.abs(g), (-2, -1), keepdims=True) * math.sqrt(float(jnp.finfo(jnp.float32).eps)) * noise
    nothing = jnp.all(g == 0, (-2, -1))
    new = (_triangular if form == "triangular" else _inverse_free)(g, noise, kept, rate)
    new = (*_balanced(*new[:2]), *new[2:])
    finite = jnp.all(
        jnp.stack([jnp.all(jnp.isfinite(x.reshape(len(x), -1)), -1) for x in new if x is not None]), axis=0
    )
    stays = nothing | ~finite

    def chosen(old: Q, x: Q) -> Q:
        return None if old is None or x is None else jnp.where(stays.reshape(-1, *(1,) * (x.ndim - 1)), old, x)

    return tuple(map(chosen, kept, new)), ~finite & ~nothing


def _triangular(g: jax.Array, noise: jax.Array, kept: tuple, rate: Any) -> tuple:
    left, right, *bounds = kept
    a = g if left is None else _times(left, g)
    a = a if right is None else adjoint(_times(right, adjoint(a)))
    b = noise if left is None else _divided(left, noise)
    b = b if right is None else adjoint(_divided(right, adjoint(b)))
    # The step does not depend on the size of both together, and without it squares may overflow.
    size = jnp.maximum(_largest(a), _largest(b))
    a, b = quotient(a, size.astype(a.dtype)), quotient(b, size.astype(b.dtype))

    def side(q: Q, a: jax.Array, b: jax.Array) -> Q:
        if q is None:
            return None
        if q.ndim == 2:
            x, y = jnp.sum(abs_sq(a), -1), jnp.sum(abs_sq(b), -1)
            return q - rate * quotient(x - y, jnp.max(x + y, -1, keepdims=True)) * q
        x, y = product(a, adjoint(a)), product(b, adjoint(b))
        step = rate * quotient(jnp.ones_like(size), _spectral_norm(x + y))
        return q - step.astype(q.dtype) * product(jnp.triu(x - y), q)

    return side(left, a, b), side(right, adjoint(a), adjoint(b)), *bounds


def _inverse_free(g: jax.Array, noise: jax.Array, kept: tuple, rate: Any) -> tuple:
    left, right, left_bound, right_bound = kept
    p = preconditioned(g, left, right)
    limit = math.sqrt(float(jnp.finfo(p.real.dtype).max) / max(p.shape[-1], p.shape[-2])) / 2
    size = jnp.abs(p)
    p = jnp.where(size > limit, p * (limit / jnp.where(size > limit, size, 1.0)).astype(p.dtype), p)

    def side(q: Q, bound: jax.Array, p: jax.Array) -> tuple[Q, Any]:
        if q is None:
            return None, None
        rest = p.shape[-1]
        if q.ndim == 2:
            x = jnp.sum(abs_sq(p), -1)
            bound = _raised(bound, jnp.max(x, -1) + rest)
            return q - rate * ((x - rest) / bound[:, None]) * q, bound
        x = product(p, adjoint(p))
        bound = _raised(bound, _spectral_norm(x)[:, 0, 0] + rest)
        by = bound[:, None, None].astype(q.dtype)
        return _turned_to_hermitian(q - rate * (product(x / by, q) - rest / by * q)), bound

    left, left_bound = side(left, left_bound, p)
    right, right_bound = side(right, right_bound, adjoint(p))
    return left, right, left_bound, right_bound


def _raised(bound: jax.Array, seen: jax.Array) -> jax.Array:
    return jnp.maximum(_MEMORY * bound + (1 - _MEMORY) * seen, seen)


def _turned_to_hermitian(q: jax.Array) -> jax.Array:
    """Q after a rotation that makes it nearer to a Hermitian matrix; QᴴQ stays to the fourth order of its angle.

    It is exp(t·R) to the second order, with R = (Qᴴ - Q)/‖Qᴴ - Q‖. The trace of the result is
    tr Q + t·tr RQ + t²/2·tr RRQ, and t is where that is largest, but at most 1/8.
    """
    r = adjoint(q) - q
    r = quotient(r, _spectral_norm(r).astype(r.dtype))
    rq = product(r, q)
    rrq = product(r, rq)
    slope, curvature = (jnp.trace(x.real, axis1=-2, axis2=-1) for x in (rq, rrq))
    falls = curvature < 0
    t = jnp.where(falls, jnp.clip(-slope / jnp.where(falls, curvature, -1.0), 0.0, _LONGEST_TURN), _LONGEST_TURN)
    t = t[:, None, None].astype(q.dtype)
    return q + t * (rq + 0.5 * t * rrq)


def _balanced(left: Q, right: Q) -> tuple[Q, Q]:
    """Both factors with largest entries that are alike: what one gives, the other one takes."""
    if left is None or right is None:
        return left, right
    m, n = (jnp.max(jnp.abs(q.reshape(len(q), -1)), -1) for q in (left, right))
    factor = safe_sqrt(quotient(n, m))
    factor = jnp.where(factor == 0, 1.0, factor)

    def scaled(q: jax.Array, by: jax.Array) -> jax.Array:
        return q * by.reshape(-1, *(1,) * (q.ndim - 1)).astype(q.dtype)

    return scaled(left, factor), scaled(right, 1 / factor)


def _spectral_norm(a: jax.Array) -> jax.Array:
    """A lower bound of the largest singular value of each matrix, (K, 1, 1): from its longest row, by two products."""
    size = _largest(a)
    a = quotient(a, size.astype(a.dtype))
    longest = jnp.argmax(jnp.sum(abs_sq(a), -1), -1)
    x = jnp.take_along_axis(a, longest[:, None, None], axis=-2)
    x = product(_unit(x), adjoint(a))
    return size * _length(product(_unit(x), a))


def _unit(x: jax.Array) -> jax.Array:
    return quotient(x, _length(x).astype(x.dtype))


def _length(x: jax.Array) -> jax.Array:
    return safe_sqrt(jnp.sum(abs_sq(x), (-2, -1), keepdims=True))


def _largest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(x), (-2, -1), keepdims=True)


def _times(q: jax.Array, x: jax.Array) -> jax.Array:
    """Q·x."""
    return q[..., None] * x if q.ndim == 2 else product(q, x)


def _adjoint(q: jax.Array) -> jax.Array:
    return q if q.ndim == 2 else adjoint(q)


def _divided(q: jax.Array, x: jax.Array) -> jax.Array:
    """Q^(-H)·x, of a triangular Q."""
    if q.ndim == 2:
        return x / q[..., None]
    return jax.lax.linalg.triangular_solve(q, x, left_side=True, lower=False, transpose_a=True, conjugate_a=True)
