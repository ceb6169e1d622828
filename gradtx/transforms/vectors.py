"""A tree as one vector: its trained leaves in one precision, and their real inner product."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width
from gradtx.core.trees import flatten, is_trained
from gradtx.transforms.norms import AxisName, summed


def trained(tree: Any, width: Any = None) -> list[jax.Array]:
    """The trained leaves in order, as arrays that are not weakly typed; in the precision of a real dtype, if given."""
    leaves = [jnp.asarray(x) for x in flatten(tree)[0] if is_trained(x)]
    return [x.astype(x.dtype if width is None else at_width(x.dtype, width)) for x in leaves]


def inner(xs: list[jax.Array], ys: list[jax.Array], width: Any, axis_name: AxisName = None) -> jax.Array:
    """Σ Re(conj(x)·y) over all entries, a real scalar of this dtype; with an axis_name, over those of all devices."""
    total = jnp.zeros((), width)
    for x, y in zip(trained(xs, width), trained(ys, width), strict=True):
        total = total + jnp.sum((jnp.conj(x) * y).real)  # not vdot, which accelerators compute in fewer digits
    return summed(total, axis_name)
