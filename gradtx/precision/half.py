"""Parameters in half precision: rounding that XLA cannot leave out, and updates that reach a chosen value exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.traits import Closures
from gradtx.core.trees import flatten, is_none, is_trained, leaf_names, require_same_tree, shape_of
from gradtx.storage.bits import unit_of
from gradtx.wrappers.lookup import copied

HALF = ("bfloat16", "float16")


def is_half(leaf: Any) -> bool:
    """Whether this parameter is bfloat16 or float16."""
    return is_trained(leaf) and jnp.result_type(leaf).name in HALF


def only_half(params: Any) -> Any:
    """The parameters, with None for those that are not in half precision."""
    return jax.tree.map(lambda p: p if is_half(p) else None, params, is_leaf=is_none)


def on_half(fn: Callable[..., Any], updates: Any, params: Any, state: Any) -> tuple[Any, Any]:
    """Apply `fn(u, p, s) -> (u, s)` to each parameter in half precision; all other updates pass unchanged.

    Args:
        fn: a jitted function of arrays: the update of the inner transformation, the parameter, its leaf of the state.
        updates: the updates of the inner transformation.
        params: the parameters.
        state: a tree like the parameters, None where a parameter is not in half precision.

    Returns: the new updates, and the new state.
    Raises:
        ValueError, TypeError: an update does not fit its parameter; the error names the leaf.
    """
    require_same_tree("update", updates, "parameter", params, same_kind=True)
    leaves, structure = flatten(updates)
    rows = list(zip(leaves, flatten(only_half(params))[0], flatten(state)[0], strict=True))
    results = [(u, None) if p is None else fn(u, p, s) for u, p, s in rows]
    new, after = ([row[k] for row in results] for k in (0, 1))
    return jax.tree.unflatten(structure, new), jax.tree.unflatten(structure, after)


def on_wide_parameters(
    inner: Any, state_type: Callable[[Any, Any], Any], start: Callable, read: Callable, write: Callable
) -> Closures:
    """The closures of a wrapper whose inside sees parameters in half precision as float32.

    Args:
        inner: the transformation inside.
        state_type: a NamedTuple of a tree like the parameters, None where one is not in half precision, and `inner`.
        start: a copy of a parameter in float32 -> its leaf of the state at init.
        read: `(parameter, leaf) -> float32`, the value that the inside sees; jitted.
        write: `(update, parameter, value that the inside saw) -> (update, leaf)`; jitted.
    """
    called = state_type._fields[0]  # pyright: ignore[reportFunctionMemberAccess]

    def wide(params, values):
        return jax.tree.map(lambda p, w: p if w is None else w, params, values, is_leaf=is_none)

    def init(params):
        values = copied(only_half(params))
        return state_type(jax.tree.map(start, values), inner.init(wide(params, values)))

    def update(updates, state, params, **extra):
        require_state(called, state[0], params)
        half = only_half(params)
        values = jax.tree.map(lambda p, s: None if p is None else read(p, s), half, state[0], is_leaf=is_none)
        updates, after = inner.update(updates, state.inner, wide(params, values), **extra)
        updates, kept = on_half(write, updates, params, values)
        return updates, state_type(kept, after)

    return Closures(init, update)


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
    """Round float32 to the nearest value of a narrower type, ties to even; the result is float32.

    XLA may leave out a cast to a narrower type and back; it cannot leave out this. The derivative is 1.
    """
    if jnp.dtype(dtype).name == "bfloat16":
        return with_derivative(jax.lax.reduce_precision(x, 8, 7), x)
    unit = unit_of(x, 10)  # `reduce_precision` has no subnormals, which begin at 6e-5 in float16
    rounded = jax.lax.round(x / unit, jax.lax.RoundingMethod.TO_NEAREST_EVEN) * unit
    rounded = jnp.where(jnp.abs(rounded) > 65504.0, jnp.copysign(jnp.float32(jnp.inf), x), rounded)
    return with_derivative(jnp.where(jnp.isfinite(x), rounded, x), x)


def update_to(u: jax.Array, p: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The update that takes p to new when it is added, and the value that the sum reaches: new.

    Both p and `new` are values of p's type, and `new` comes from p plus some update in float32. Either their difference
    is exact, or p is so much smaller that the sum is exact. Otherwise (from 1 to 2⁻³⁰, which no float32 sum with 1
    gives) the sum reaches the nearest possible value. So there is a second result.

    A parameter that does not move gets -0, which keeps the sign of a zero. The derivative is that of u.

    Args:
        u: the update of the inner transformation, for the derivative only.
        p: the parameter, bfloat16 or float16.
        new: the new value in float32, rounded to the type of p.
    """
    old, most = p.astype(jnp.float32), float(jnp.finfo(jnp.float32).max)
    way = new - old
    way = jnp.where(jnp.isfinite(new) & jnp.isfinite(old), jnp.clip(way, -most, most), way)
    way = jnp.where(new == old, jnp.float32(-0.0), way)
    return with_derivative(way, u), nearest(old + way, p.dtype)


@jax.custom_jvp
def with_derivative(x: jax.Array, of: jax.Array) -> jax.Array:
    """x, with the derivative of `of`."""
    return x


@with_derivative.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    return primals[0], tangents[1]
