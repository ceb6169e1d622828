"""Adding updates to parameters."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.special import SpecialLeaf
from gradtx.core.trees import is_none, is_trained, require_same_tree


def apply_updates(params: Any, updates: Any) -> Any:
    """Add the updates to the parameters: `w + u`, in float32 or wider, rounded once to the type of `w`.

    Args:
        params: the parameters.
        updates: a tree like it. Leaves that are not trained (integers, keys, None) keep their value, and so do the rows
            that a `RowSparse` has not; where the parameters are donated, only its rows are written.

    Raises:
        ValueError, TypeError: where a leaf does not fit its parameter, naming it.

    Differs from optax in refusing what does not fit instead of broadcasting it, and in leaving integers alone.
    """
    require_same_tree("update", updates, "parameter", params, same_kind=True)

    def leaf(p: Any, u: Any) -> Any:
        if not is_trained(p):
            return p
        if isinstance(u, SpecialLeaf):
            return u.added_to(p)
        p, u = jnp.asarray(p), jnp.asarray(u)
        plain = p.dtype == u.dtype and p.dtype in _WIDE_ENOUGH and not (p.weak_type or u.weak_type)
        return jax.lax.add(p, u) if plain else _add(p, u)  # JAX traces a plain sum faster than a call

    return jax.tree.map(leaf, params, updates, is_leaf=is_none)


_WIDE_ENOUGH = {jnp.dtype(name) for name in ("float32", "float64", "complex64", "complex128")}


@functools.partial(jax.jit, inline=True)  # of the module, so that each shape is traced once
def _add(p: jax.Array, u: jax.Array) -> jax.Array:
    wide = at_width(p.dtype, float_dtype(p, u))
    return (p.astype(wide) + u.astype(wide)).astype(p.dtype)
