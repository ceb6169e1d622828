"""The polar factor of matrices: the iteration of Newton and Schulz with several lists of coefficients, and the SVD."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.numerics import abs_sq, safe_sqrt
from gradtx.transforms.decompositions import eigh, svd
from gradtx.transforms.exchange import count_of
from gradtx.transforms.products import adjoint, product
from gradtx.transforms.split import summed

Triples = tuple[tuple[float, float, float], ...]

_KELLER = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ = (2.0, -1.5, 0.5)

COEFFICIENTS: Mapping[str, Triples] = MappingProxyType(
    {
        "keller": (_KELLER,) * 5,
        "polar_express": (
            (8.156554524902461, -22.48329292557795, 15.878769915207462),
            (4.042929935166739, -2.808917465908714, 0.5000178451051316),
            (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
            (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
            (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
        ),
        "polar_express_8": (
            (8.2051, -22.9019, 16.4607),
            (4.0664, -2.8612, 0.5184),
            (3.9096, -2.8234, 0.5250),
            (3.2856, -2.4153, 0.4853),
            (2.2779, -1.6198, 0.3985),
            (1.8726, -1.2307, 0.3585),
            (1.8564, -1.2132, 0.3568),
            (1.875, -1.25, 0.375),
        ),
        "quintic": (
            (4.0848, -6.8946, 2.9270),
            (3.9505, -6.3029, 2.6377),
            (3.7418, -5.5913, 2.3037),
            (2.8769, -3.1427, 1.2046),
            (2.8366, -3.0525, 1.2012),
        ),
        "cans": (
            (8.4703, -25.1081, 18.6293),
            (4.1828, -3.1087, 0.5806),
            (3.9619, -2.9541, 0.5630),
            (3.2866, -2.4647, 0.5074),
            (2.2737, -1.6447, 0.4162),
        ),
        "cubic": (
            (3.3656576, -3.3420992, 0.0),
            (2.5744352, -1.4957376, 0.0),
            (2.5368962, -1.4312570, 0.0),
            (2.4418906, -1.2764040, 0.0),
            (2.2230472, -0.9630650, 0.0),
        ),
        "deepseek": (_KELLER,) * 8 + (_NEWTON_SCHULZ,) * 2,
        "newton_schulz": (_NEWTON_SCHULZ,) * 12,
    }
)
"""Name -> (a, b, c) of each step of `orthogonalize`; the range of the singular values after it is in its docstring."""


PRECONDITIONINGS = ("frobenius", "spectral", "schatten", "aol")


def sizes(x: jax.Array, preconditioning: str, over: tuple[str, ...] = ()) -> jax.Array:
    """By what a wide matrix of Frobenius norm 1 is divided: one number, or one for each row. Not for "frobenius"."""
    gram = _gram(x, over)
    if preconditioning == "aol":
        return safe_sqrt(jnp.sum(jnp.abs(gram), -1, keepdims=True))
    if preconditioning == "schatten":
        return safe_sqrt(safe_sqrt(jnp.sum(abs_sq(gram), (-2, -1), keepdims=True)))
    v = jax.lax.stop_gradient(eigh(jax.lax.stop_gradient(gram))[1][..., -1:])  # then the derivative is that of σ²
    return safe_sqrt(jnp.maximum(product(adjoint(v), product(gram, v)).real, 0.0))


def iterated(x: jax.Array, triples: Triples, over: tuple[str, ...] = ()) -> jax.Array:
    """The iteration, of one matrix or of a stack; `over` names the mesh axes over which the columns are split."""
    if x.shape[-1] * count_of(over) >= 3 * x.shape[-2] and x.dtype != jnp.bfloat16:
        for k in range(0, len(triples), 2):
            x = _two_steps(x, triples[k : k + 2], over)
        return x
    for a, b, c in triples:
        x = _plus(a, x, _exact(_inside(_gram(x, over), b, c), x))
    return x


def _exact(x: jax.Array, y: jax.Array) -> jax.Array:
    """x·y, in float32 if they are bfloat16."""
    if x.dtype != jnp.bfloat16:
        return product(x, y)
    return jnp.matmul(x, y, preferred_element_type=jnp.float32)


def _plus(a: float, x: jax.Array, products: jax.Array) -> jax.Array:
    """a·x + products in the type of x; rounded once, since a step enlarges what is small by up to 8."""
    return (a * x.astype(products.dtype) + products).astype(x.dtype)


def _gram(x: jax.Array, over: tuple[str, ...]) -> jax.Array:
    """x·xᴴ; of split columns, the sum over all devices."""
    return summed(_exact(x, adjoint(x)), over or None).astype(x.dtype)


def _two_steps(x: jax.Array, triples: Triples, over: tuple[str, ...]) -> jax.Array:
    """One or two steps with small square products: they act on A, and their product is applied to X in the end.

    More steps at once would be inexact: A squares the singular values, and of small ones too few digits are left.
    """
    a, b, c = triples[0]
    gram = _gram(x, over)
    z = _inside(gram, b, c)
    q = z + a * jnp.broadcast_to(jnp.eye(z.shape[-1], dtype=z.dtype), z.shape)
    if len(triples) == 2:
        half = product(gram, z) + a * gram
        gram = product(z, half) + a * half
        a, b, c = triples[1]
        q = product(q, _inside(gram, b, c)) + a * q
    return product(q, x)


def _inside(gram: jax.Array, b: float, c: float) -> jax.Array:
    return _plus(b, gram, c * _exact(gram, gram)) if c else b * gram


def each_of(fn: Any, *stacks: jax.Array) -> jax.Array:
    """`fn` of each matrix of a stack: one after the other on CPU, whose batched products are slow, else all at once.

    Args:
        fn: a function of a matrix and what belongs to it, or of stacks of them; it gives a matrix, or a stack.
        *stacks: arrays of one length.
    """
    if len(stacks[0]) == 1:
        return fn(*(x[0] for x in stacks))[None]
    return jax.lax.platform_dependent(*stacks, cpu=lambda *stacks: _one_by_one(fn, stacks), default=fn)


def _one_by_one(fn: Any, stacks: tuple[jax.Array, ...]) -> jax.Array:
    """A loop over several matrices at once.

    XLA compiles a program for each place from which a matrix is taken out of a stack. The results are several short
    stacks, and places in these are alike.
    """
    count = len(stacks[0])
    width = count if count <= _AT_ONCE else min(range(_AT_ONCE // 2, _AT_ONCE + 1), key=lambda k: (-count % k, -k))
    length = -(-count // width)
    filled = [jnp.pad(x, ((0, length * width - count), *[(0, 0)] * (x.ndim - 1))) for x in stacks]
    short = [tuple(x[k : k + length] for x in filled) for k in range(0, length * width, length)]
    return jnp.concatenate(jax.lax.map(lambda rows: [fn(*row) for row in rows], short))[:count]


_AT_ONCE = 8


@jax.custom_jvp
def by_svd(x: jax.Array) -> jax.Array:
    """The polar factor; directions whose singular value is zero stay zero."""
    return _polar(x)[0]


def _polar(x: jax.Array) -> tuple[jax.Array, ...]:
    """The polar factor, and the decomposition without the directions of singular value zero."""
    u, s, vh = svd(x)
    seen = s > jnp.finfo(s.dtype).eps * x.shape[-1] * s[..., :1]
    u = u * seen[..., None, :].astype(u.dtype)
    return product(u, vh), u, s, vh


@by_svd.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    # That of the factors has the differences of singular values in its divisors, and is infinite where two are equal.
    (x,), (dx,) = primals, tangents
    p, u, s, vh = _polar(x)
    turned = product(product(adjoint(u), dx), adjoint(vh))
    sums = s[..., :, None] + s[..., None, :]
    inside = jnp.where(sums > 0, (turned - adjoint(turned)) / jnp.where(sums > 0, sums, 1.0), 0.0)
    outside = dx - product(product(dx, adjoint(vh)), vh)
    inverse = jnp.where(s > 0, 1.0 / jnp.where(s > 0, s, 1.0), 0.0)[..., None, :].astype(u.dtype)
    return p, product(product(u, inside), vh) + product(product(u * inverse, adjoint(u)), outside)
