"""A tree as one vector: its trained leaves in one precision, and their real inner product."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width
from gradtx.core.trees import flatten, is_trained
from gradtx.transforms.split import AxisName, leaf_axes, sum_of_terms


def trained(tree: Any, width: Any = None) -> list[jax.Array]:
    """The trained leaves in order, as arrays that are not weakly typed; in the precision of a real dtype, if given."""
    leaves = [jnp.asarray(x) for x in flatten(tree)[0] if is_trained(x)]
    return [x.astype(x.dtype if width is None else at_width(x.dtype, width)) for x in leaves]


def inner(xs: list[jax.Array], ys: list[jax.Array], width: Any, axis_name: AxisName = None) -> jax.Array:
    """Σ Re(conj(x)·y) over all entries, a real scalar of this dtype; with an axis_name, over those of all devices."""
    pairs = zip(trained(xs, width), trained(ys, width), strict=True)
    terms = [jnp.sum((jnp.conj(x) * y).real) for x, y in pairs]  # not vdot, which accelerators compute in fewer digits
    zero = jnp.zeros((), width)
    return sum_of_terms([zero, *terms], [None, *leaf_axes(terms, xs, axis_name)])
