"""Sums over all leaves that estimators share: norms, distances, inner products."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import abs_sq, safe_sqrt
from gradtx.core.trees import require_same_tree
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.vectors import trained
from gradtx.wrappers.lookup import only_trained


def joined(*norms: Any) -> jax.Array:
    """The root of the sum of the squares of some norms, entry by entry: √(a² + b² + ...), right at 1e25 too."""
    dtype = jnp.result_type(norms[0])
    return leaf_norm(jnp.stack([jnp.asarray(x, dtype) for x in norms]), (0,))[0]


def difference(params: Any, start: Any) -> Any:
    """The parameters less their copy at the start; None where a leaf is not trained."""
    return map_leaves(lambda w, start: w - start, only_trained(params), start)


def distance_from(params: Any, start: Any) -> jax.Array:
    """The Euclidean norm of the parameters less their copy at the start; above 1.8e19 (float32) it counts as that."""
    width = float_dtype(params, start)
    squares = [jnp.sum(abs_sq(x)) for x in trained(difference(params, start), width)]
    return safe_sqrt(jnp.minimum(sum(squares, jnp.zeros((), width)), jnp.finfo(width).max))


def inner_product(xs: Any, ys: Any) -> jax.Array:
    """Σ Re(conj(x)·y) over all leaves. A product above 7.9e28 (float32) counts as that: the sum is finite.

    A norm of the first tree would allow for larger ones, but has to be known first: all would be read twice.
    """
    require_same_tree("gradient", xs, "state", ys)
    width = float_dtype(xs, ys)
    most = float(jnp.finfo(width).max) * 2.0**-32
    pairs = zip(trained(xs, width), trained(ys, width), strict=True)
    return sum((jnp.sum(jnp.clip((jnp.conj(x) * y).real, -most, most)) for x, y in pairs), jnp.zeros((), width))


def sum_of_sizes(tree: Any) -> jax.Array:
    """Σ|x| over all entries of all leaves."""
    width = float_dtype(tree)
    sizes = [safe_sqrt(abs_sq(x)) if jnp.iscomplexobj(x) else jnp.abs(x) for x in trained(tree, width)]
    return sum((jnp.sum(x) for x in sizes), jnp.zeros((), width))
