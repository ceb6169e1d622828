"""`kept_in`: fields of a state in another dtype between steps, for optax's `mu_dtype` and `accumulator_dtype`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.compat.optax.protocol import with_protocol
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import is_trained


@transformation(any_leaves=True)
def kept_in(inner: Transformation, fields: tuple[str, ...], stored_as: str):
    """Keep fields of a state in another dtype between steps; the arithmetic is in float32 or wider.

    Numbers are rounded to the nearest: a mean that moves by less than half a unit stands still.
    `store(tx, gradtx.storage.bfloat16())` rounds the whole state at random, so that no mean stands still.

    Args:
        inner: the transformation.
        fields: the names of the fields: `("mu",)`.
        stored_as: the name of a dtype of floating point numbers.

    State: that of `inner`.
    Raises: ValueError: a complex dtype for a real leaf.
    """

    def each(function: Callable[[Any], Any], state: Any) -> Any:
        def named(x: Any) -> list[str]:
            return [field for field in getattr(x, "_fields", ()) if field in fields]

        def leaf(x: Any) -> Any:
            return function(x) if is_trained(x) else x

        def changed(x: Any) -> Any:
            return x._replace(**{field: jax.tree.map(leaf, getattr(x, field)) for field in named(x)}) if named(x) else x

        return jax.tree.map(changed, state, is_leaf=lambda x: bool(named(x)))  # parameters may have such names too

    def narrow(x: Any) -> jax.Array:
        if jnp.issubdtype(stored_as, jnp.complexfloating) != jnp.iscomplexobj(x):
            if not jnp.iscomplexobj(x):
                raise ValueError(f"{', '.join(fields)}: {stored_as} for a real leaf: give a dtype of real numbers")
            return x.astype(at_width(x.dtype, float_dtype(jnp.zeros((), stored_as))))
        return x.astype(stored_as)

    def wide(x: Any) -> jax.Array:
        return x.astype(at_width(x.dtype, float_dtype(x)))

    def init(params):
        return each(narrow, inner.init(params))

    def update(updates, state, params=None, **extra):
        updates, state = inner.update(updates, each(wide, state), params, **extra)
        return updates, each(narrow, state)

    return init, update


def in_dtype(tx: GradientTransformation, dtype: Any, *fields: str) -> GradientTransformation:
    """The transformation with these fields of its state in a dtype; None for no change."""
    return tx if dtype is None else kept_in(with_protocol(tx), fields, jnp.dtype(dtype).name)
