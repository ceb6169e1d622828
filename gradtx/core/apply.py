"""Adding updates to parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import is_none, is_trained, require_same_tree


def apply_updates(params: Any, updates: Any) -> Any:
    """Add the updates to the parameters: `w + u`, in float32 or wider, rounded once to the type of `w`.

    Args:
        params: the parameters.
        updates: a tree like it. Leaves that are not trained (integers, keys, None) keep their value.

    Raises:
        ValueError, TypeError: where a leaf does not fit its parameter, naming it.

    Differs from optax in refusing what does not fit instead of broadcasting it, and in leaving integers alone.
    """
    require_same_tree("update", updates, "parameter", params, same_kind=True)

    def leaf(p: Any, u: Any) -> Any:
        if not is_trained(p):
            return p
        wide = jnp.promote_types(jnp.promote_types(jnp.result_type(p), jnp.result_type(u)), jnp.float32)
        return (jnp.asarray(p, wide) + jnp.asarray(u, wide)).astype(jnp.result_type(p))

    return jax.tree.map(leaf, params, updates, is_leaf=is_none)
