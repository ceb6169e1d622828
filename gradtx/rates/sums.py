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


def inner_product(xs: Any, ys: Any, *, turn: int | None = 0) -> jax.Array:
    """Σ Re(conj(x)·y) over all leaves. A product above 7.9e28 (float32) counts as that: the sum is finite.

    A norm of the first tree would allow for larger ones, but has to be known first: all would be read twice.

    Args:
        xs, ys: the trees.
        turn: 0 for the first inner product of a step, 1 for the second. None if a tree is computed for it alone, which
            then is not held in memory; the products are.
    """
    require_same_tree("gradient", xs, "state", ys)
    width, most = float_dtype(xs, ys), float(jnp.finfo(float_dtype(xs, ys)).max) * 2.0**-32
    pairs = list(zip(trained(xs, width), trained(ys, width), strict=True))
    products = [(jnp.conj(x) * y).real for x, y in pairs]
    if turn is None:
        sums = [jnp.sum(jnp.clip(x, -most, most)) for x in products]
    else:
        # Two minima: XLA on CPU holds what is clamped in memory before it adds it up. And each sum has a limit of its
        # own: one that several share would be an array.
        limits = [most * (1.0 - 2.0**-20 * (k % 2**19)) for k in range(turn * len(pairs), (turn + 1) * len(pairs))]
        sums = [-jnp.sum(jnp.minimum(-jnp.minimum(x, b), b)) for x, b in zip(products, limits, strict=True)]
    return sum(sums, jnp.zeros((), width))


def sum_of_sizes(tree: Any) -> jax.Array:
    """Σ|x| over all entries of all leaves."""
    width = float_dtype(tree)
    sizes = [safe_sqrt(abs_sq(x)) if jnp.iscomplexobj(x) else jnp.abs(x) for x in trained(tree, width)]
    return sum((jnp.sum(x) for x in sizes), jnp.zeros((), width))
