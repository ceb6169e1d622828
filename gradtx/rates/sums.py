"""Sums over all leaves that estimators share: norms, distances, inner products."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import abs_sq, quotient, safe_sqrt
from gradtx.core.trees import require_same_tree
from gradtx.transforms.norms import global_norm, leaf_norm
from gradtx.transforms.vectors import inner, trained
from gradtx.wrappers.lookup import only_trained


def joined(*norms: Any) -> jax.Array:
    """The root of the sum of the squares of some norms, entry by entry: √(a² + b² + ...), right at 1e25 too."""
    dtype = jnp.result_type(norms[0])
    return leaf_norm(jnp.stack([jnp.asarray(x, dtype) for x in norms]), (0,))[0]


def difference(params: Any, start: Any) -> Any:
    """The parameters less their copy at the start; None where a leaf is not trained."""
    return map_leaves(lambda w, start: w - start, only_trained(params), start)


def distance_from(params: Any, start: Any) -> jax.Array:
    """The Euclidean norm of the parameters less their copy at the start."""
    return global_norm(difference(params, start))


def component(xs: Any, ys: Any) -> tuple[jax.Array, jax.Array]:
    """The component of one tree along another, Σ Re(conj(x)·y)/‖x‖ over all leaves, and ‖x‖; 0 where x is 0.

    Their product is the inner product. The component does not overflow where ‖y‖ does not.
    """
    require_same_tree("gradient", xs, "state", ys)
    width = float_dtype(xs, ys)
    norm = global_norm(xs).astype(width)
    # XLA may multiply by one over the norm, which for the largest norms is less than the smallest normal number.
    shrink = jnp.where(norm > 1, 2.0**-8, 1.0).astype(width)
    unit = [quotient(x * shrink.astype(x.dtype), (norm * shrink).astype(x.dtype)) for x in trained(xs, width)]
    return inner(unit, trained(ys, width), width), norm


def inner_product(xs: Any, ys: Any) -> jax.Array:
    """Σ Re(conj(x)·y) over all leaves; infinite if it overflows, but not NaN."""
    along, norm = component(xs, ys)
    return norm * along


def sum_of_sizes(tree: Any) -> jax.Array:
    """Σ|x| over all entries of all leaves."""
    width = float_dtype(tree)
    sizes = [safe_sqrt(abs_sq(x)) if jnp.iscomplexobj(x) else jnp.abs(x) for x in trained(tree, width)]
    return sum((jnp.sum(x) for x in sizes), jnp.zeros((), width))
