"""What the wrappers for half-precision parameters share: rounding that XLA keeps, and updates that land exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.bits import unit_of
from gradtx.core.trees import flatten, is_none, is_trained, leaf_names, require_same_tree, shape_of

HALF = ("bfloat16", "float16")


def is_half(leaf: Any) -> bool:
    """Whether this parameter is bfloat16 or float16."""
    return is_trained(leaf) and jnp.result_type(leaf).name in HALF


def only_half(params: Any) -> Any:
    """The parameters with None where one is not in half precision."""
    return jax.tree.map(lambda p: p if is_half(p) else None, params, is_leaf=is_none)


def widened(params: Any, wide: Any) -> Any:
    """The parameters with the leaves of `wide` in the place of those in half precision."""
    return jax.tree.map(lambda p, w: p if w is None else w, params, wide, is_leaf=is_none)


def with_kept(fn: Callable[..., Any], params: Any, state: Any) -> Any:
    """`fn(p, s)` of each parameter in half precision and its leaf of the state; None for all others."""
    return jax.tree.map(lambda p, s: None if p is None else fn(p, s), only_half(params), state, is_leaf=is_none)


def on_half(fn: Callable[..., Any], updates: Any, params: Any, state: Any) -> tuple[Any, Any]:
    """Apply `fn(u, p, s) -> (u, s)` to each parameter in half precision; all other updates pass as they are.

    Args:
        fn: a jitted function of arrays: the update of the inner transformation, the parameter, its leaf of the state.
        updates: what the inner transformation gave.
        params: the parameters.
        state: a tree like the parameters, None where one is not in half precision.

    Returns: the new updates, and the new state.
    Raises:
        ValueError, TypeError: where an update does not fit its parameter, naming the leaf.
    """
    require_same_tree("update", updates, "parameter", params, same_kind=True)
    leaves, structure = flatten(updates)
    rows = list(zip(leaves, flatten(only_half(params))[0], flatten(state)[0], strict=True))
    results = [(u, None) if p is None else fn(u, p, s) for u, p, s in rows]
    new, after = ([row[k] for row in results] for k in (0, 1))
    return jax.tree.unflatten(structure, new), jax.tree.unflatten(structure, after)


def require_state(called: str, state: Any, params: Any) -> None:
    """Raise unless the state has a leaf, of the same shape, for each parameter in half precision and for no other."""
    leaves, structure = flatten(state)
    floats = [None if s is None else jax.ShapeDtypeStruct(shape_of(s), jnp.float32) for s in leaves]
    wanted, of_params = flatten(only_half(params))
    if structure == of_params:
        for name, s, p in zip(leaf_names(params), leaves, wanted, strict=True):
            if (s is None) != (p is None):
                has, is_now = ("no", "now") if s is None else ("a", "not")
                raise ValueError(
                    f"the state has {has} {called} for the parameter at {name}, which is {is_now} in half precision: "
                    f"make the state with init, from parameters of these types"
                )
    require_same_tree(called, jax.tree.unflatten(structure, floats), "parameter", only_half(params))


def nearest(x: jax.Array, dtype: Any) -> jax.Array:
    """float32 rounded to the nearest value of a narrower type, ties to even; XLA may leave out casts there and back.

    The derivative is 1, as if nothing had been rounded.
    """
    if jnp.dtype(dtype).name == "bfloat16":
        return with_derivative(jax.lax.reduce_precision(x, 8, 7), x)
    unit = unit_of(x, 10)  # `reduce_precision` has no subnormals, which begin at 6e-5 in float16
    rounded = jax.lax.round(x / unit, jax.lax.RoundingMethod.TO_NEAREST_EVEN) * unit
    rounded = jnp.where(jnp.abs(rounded) > 65504.0, jnp.copysign(jnp.float32(jnp.inf), x), rounded)
    return with_derivative(jnp.where(jnp.isfinite(x), rounded, x), x)


def landing(u: jax.Array, p: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The update that leads from p to new, and where it lands: on new.

    Both are values of p's type, and `new` is what float32 made of p and some update. Their difference is then exact, or
    p is so much smaller that the sum is exact. Where neither holds (a value of 1 that shall become 2⁻³⁰, which is not
    between the sums that float32 can make of 1) it lands on the nearest sum there is; hence the second result.

    A parameter that does not move gets -0, which keeps the sign of a zero. The derivative is that of u, as if nothing
    had been rounded.

    Args:
        u: the update of the inner transformation, of which the derivative is.
        p: the parameter, bfloat16 or float16.
        new: the new value, float32, rounded to the type of p.
    """
    old, most = p.astype(jnp.float32), float(jnp.finfo(jnp.float32).max)
    way = new - old
    way = jnp.where(jnp.isfinite(new) & jnp.isfinite(old), jnp.clip(way, -most, most), way)
    way = jnp.where(new == old, jnp.float32(-0.0), way)
    return with_derivative(way, u), nearest(old + way, p.dtype)


@jax.custom_jvp
def with_derivative(x: jax.Array, of: jax.Array) -> jax.Array:
    """x, with the derivative of something else."""
    return x


@with_derivative.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    return primals[0], tangents[1]
