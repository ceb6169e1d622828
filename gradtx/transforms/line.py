"""The line of a search: a function of the parameters as a function of the step along the updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import core as jax_core

from gradtx.core.leaves import apply_updates, float_dtype, map_leaves
from gradtx.core.trees import flatten, is_trained, require_same_tree
from gradtx.errors import describe
from gradtx.transforms.split import AxisName, device_count, listed, names_of, over_whole, summed
from gradtx.transforms.vectors import inner, trained


class Point(NamedTuple):
    """A point of the line: the step t, the value f(w + t·u) and the slope, its derivative by t."""

    t: jax.Array
    value: jax.Array
    slope: jax.Array


class Line(NamedTuple):
    """What a search sees; constant for derivatives.

    dtype: that of the arithmetic along the line. start: the point t = 0. grad: the gradient there, a list of leaves.
    value: t -> the value. at: t -> the point and the gradient there. tree: a list of leaves -> a tree like the
    parameters, with None for leaves that are not trained.
    """

    dtype: Any
    start: Point
    grad: list[jax.Array]
    value: Callable[[jax.Array], jax.Array]
    at: Callable[[jax.Array], tuple[Point, list[jax.Array]]]
    tree: Callable[[list], Any]


def line(updates: Any, params: Any, value: Any, grad: Any, value_fn: Any, axis_name: AxisName = None) -> Line:
    """Check the arguments of a search and make its line; value_fn is traced once.

    Args:
        updates, params: as in update.
        value, grad: f(w), and its gradient in the convention of the updates; None to compute them.
        value_fn: the function f of the parameters.
        axis_name: the axes over which the leaves are split; values and slopes are then the same on all devices.
    """
    if grad is not None:
        require_same_tree("grad", grad, "parameter", params)
    if value is not None and jnp.shape(value) != ():
        raise ValueError(f"value must be a scalar; got shape {jnp.shape(value)}")
    # The step is a constant for derivatives: reverse mode cannot differentiate a while loop, and at the best step the
    # derivative is zero.
    ws, us = jax.lax.stop_gradient((trained(params), trained(updates)))
    axis_name = listed(axis_name, params)
    traced, held = _converted(on_trained(value_fn, params), ws)
    held = jax.lax.stop_gradient(held)
    dtype = float_dtype(updates, params, jax.eval_shape(traced, ws, *held))

    def there(t: jax.Array) -> list:
        return apply_updates(ws, map_leaves(lambda u: t * u, us))

    def value_at(t: jax.Array) -> jax.Array:
        return mean(traced(there(t), *held).astype(dtype), axis_name)

    def at(t: jax.Array) -> tuple[Point, list]:
        found, gs = value_and_grad(traced, there(t), *held, axis_name=axis_name)
        return Point(t, found.astype(dtype), inner(gs, us, dtype, axis_name)), gs

    if grad is None:
        computed, gs = value_and_grad(traced, ws, *held, axis_name=axis_name)
        value = computed if value is None else value
    else:
        gs = [g.astype(jnp.result_type(w)) for g, w in zip(trained(grad, dtype), ws, strict=True)]
    value = traced(ws, *held) if value is None else value
    value = mean(jnp.asarray(jax.lax.stop_gradient(value)).astype(dtype), axis_name)
    gs = jax.lax.stop_gradient(gs)
    start = Point(jnp.zeros((), dtype), value, inner(gs, us, dtype, axis_name))
    return Line(dtype, start, gs, value_at, at, lambda leaves: like_trained(params, leaves))


def _converted(scalar: Callable[[list], jax.Array], ws: list) -> tuple[Callable[..., jax.Array], list]:
    """The function, traced once, and the arrays that it closes over, which it then takes behind its argument.

    `jax.closure_convert` keeps each function and its arrays for good: outside jit, a copy of the parameters a step.
    """
    closed = jax.make_jaxpr(scalar)(ws)

    def traced(ws: list, *held: Any) -> jax.Array:
        return jax_core.eval_jaxpr(closed.jaxpr, held, *ws)[0]

    return traced, closed.consts


def on_trained(value_fn: Any, params: Any) -> Callable[..., jax.Array]:
    """value_fn as a function of the list of trained leaves; the others are constant. Its result is checked."""
    if not callable(value_fn):
        raise TypeError(f"value_fn must be a function of the parameters; got {describe(value_fn)}")

    def scalar(ws: list) -> jax.Array:
        out: Any = value_fn(like_trained(params, ws, others=True))
        if not is_trained(out) or jnp.shape(out) != () or jnp.iscomplexobj(out):
            came = f"{out.dtype}{list(out.shape)}" if hasattr(out, "shape") else describe(out)
            raise TypeError(f"value_fn must return a real scalar; got {came}")
        return jnp.asarray(out)

    return scalar


def value_and_grad(scalar: Callable, ws: list, *held: Any, axis_name: AxisName = None) -> tuple[jax.Array, list]:
    """The value and the gradient that descent subtracts: for complex leaves the conjugate of `jax.grad`'s.

    With an axis_name, of the mean of the values of all devices, by each device's own leaves. Inside shard_map JAX
    differentiates the sum over devices, unless it knows (check_vma) that the value is the same on all. So each device
    contributes its part of the mean, as a value of its own, and the derivative is the same in both cases.
    """
    if axis_name is None:
        value, gs = jax.value_and_grad(scalar)(ws, *held)
        return value, [jnp.conj(g) for g in gs]

    def part(ws: list) -> jax.Array:
        return _own(scalar(ws, *held) / device_count(axis_name), axis_name)

    value, pullback = jax.vjp(part, ws)
    (gs,) = pullback(_own(jnp.ones_like(value), axis_name))
    return summed(value, axis_name), [jnp.conj(g) for g in over_whole(gs, axis_name)]


def mean(value: jax.Array, axis_name: AxisName) -> jax.Array:
    """The mean over the devices, so that all of them take the same decisions."""
    return value if axis_name is None else summed(value / device_count(axis_name), axis_name)


def _own(x: jax.Array, axis_name: AxisName) -> jax.Array:
    """x as a value that may differ between devices, whatever JAX knows about it."""
    return jnp.where(jax.lax.axis_index(names_of(axis_name)) >= 0, x, jnp.zeros_like(x))


def like_trained(params: Any, leaves: list, *, others: bool = False) -> Any:
    """A tree like the parameters with these trained leaves; other leaves are None, or those of the parameters."""
    old, structure = flatten(params)
    new = iter(leaves)
    return jax.tree.unflatten(structure, [next(new) if is_trained(p) else p if others else None for p in old])


def moved(updates: Any, t: jax.Array) -> Any:
    """The updates times the step; zeros for the step 0, also for infinite and NaN updates."""
    return map_leaves(lambda u: jnp.where(t == 0, 0.0, t * u), updates)


def stored(old: Any, params: Any, new: Any) -> Any:
    """The new gradient in the dtypes of the state; an error if the state was made for other parameters."""
    require_same_tree("the state's grad", old, "parameter", params)
    return jax.tree.map(lambda x, g: g.astype(x.dtype), old, new)


def chosen(here: Any, new: Any, old: Any) -> Any:
    """`new` if `here` holds, else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(here, a, b), new, old)
