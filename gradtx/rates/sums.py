"""Sums over all leaves that estimators share: norms of squares and of distances, inner products."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import quotient
from gradtx.transforms.norms import global_norm, leaf_norm
from gradtx.transforms.vectors import inner, trained
from gradtx.wrappers.lookup import only_trained


def joined(*norms: Any) -> jax.Array:
    """The root of the sum of the squares of some norms: √(a² + b² + ...), right at 1e25 too."""
    dtype = jnp.result_type(norms[0])
    return leaf_norm(jnp.stack([jnp.asarray(x, dtype) for x in norms]))


def distance_from(params: Any, start: Any) -> jax.Array:
    """The Euclidean norm of the parameters less their copy at the start."""
    return global_norm(map_leaves(lambda w, x0: w - x0, only_trained(params), start))


def inner_product(xs: Any, ys: Any) -> jax.Array:
    """Σ Re(conj(x)·y) over all leaves. The first tree may be so large that the products of entries overflow."""
    width = float_dtype(xs, ys)
    norm = global_norm(xs).astype(width)
    unit = [quotient(x, norm.astype(x.dtype)) for x in trained(xs, width)]
    return norm * inner(unit, trained(ys, width), width)
