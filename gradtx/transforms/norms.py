"""Norms of trees and of leaves, without overflow and with finite derivatives."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gradtx.core.deferred import is_staged
from gradtx.core.leaves import at_width, float_dtype
from gradtx.core.numerics import abs_sq
from gradtx.core.special import SpecialLeaf
from gradtx.core.trees import flatten, is_trained
from gradtx.transforms.joining import joined
from gradtx.transforms.split import AxisName, leaf_axes, own_axes, require_axis_name, sum_of_terms, summed


def global_norm(tree: Any, axis_name: AxisName = None) -> jax.Array:
    """The Euclidean norm of all trained leaves together: a float32 (or wider) scalar.

        ‖g‖₂ = √Σ|g|²

    It is correct for the smallest and the largest entries: if the plain sum of squares overflows or underflows, the
    entries are first multiplied by a power of two. The derivative at zero is zero.

    Args:
        tree: the updates; leaves that are not trained do not count.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the leaves are split. The
            sum is then that over all devices, and all have the same norm. A leaf that is whole on each device counts
            once if JAX knows it, as it does in `shard_map`; elsewhere `split_over` says which leaves these are.

    Raises:
        TypeError: axis_name is not a name. NameError: it is not an axis that is mapped over here.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> print(gradtx.global_norm({"a": jnp.array([3e20]), "b": jnp.array(4e20)}))
        5e+20
    """
    require_axis_name(axis_name)
    width = float_dtype(tree)
    leaves = [_entries(x) for x in flatten(tree)[0] if is_trained(x)]
    axes = None if axis_name is None else tuple(leaf_axes(leaves, tree, axis_name))
    if axes is not None:
        axes = tuple(own for own, x in zip(axes, leaves, strict=True) if x.size)
    leaves = [x for x in leaves if x.size]
    leaves = [x if x.dtype == width and not x.weak_type else x.astype(at_width(x.dtype, width)) for x in leaves]
    if not leaves:
        return jnp.zeros((), width)

    if axes is not None or any(isinstance(x, Tracer) for x in leaves):
        kinds = [None] * len(leaves) if axes is None else axes
        rows = list(zip(leaves, kinds, strict=True))
        groups = {kind: joined([x for x, own in rows if own == kind]) for kind in dict.fromkeys(kinds)}
        axes = None if axes is None else tuple(kind for kind, group in groups.items() for _ in group)
        return _norm([x for group in groups.values() for x in group], axes)
    first = sum_of_squares(leaves[0], None)
    # Inside jit, even arithmetic on constants is staged.
    return _norm(leaves, axes) if isinstance(first, Tracer) else _eager_norm(leaves, first)


def _eager_norm(leaves: list, first: jax.Array) -> jax.Array:
    """The norm outside jit: one small program for each shape, and none for the whole tree, which is used once.

    first: the sum of squares of the first leaf.
    """
    squares = functools.reduce(jax.lax.add, [first, *(sum_of_squares(x, None) for x in leaves[1:])])
    if _is_safe(squares):
        return jnp.sqrt(squares)
    unit = _unit(squares)
    scaled = (sum_of_squares(x * unit.astype(x.dtype), None) for x in leaves)
    return jnp.sqrt(functools.reduce(jax.lax.add, scaled)) / unit


def _entries(x: Any) -> jax.Array:
    """A leaf as an array; for a special leaf its entries."""
    return x.entries() if isinstance(x, SpecialLeaf) else jnp.asarray(x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def leaf_norm(x: jax.Array, axes: tuple[int, ...] | None = None, axis_name: AxisName = None) -> jax.Array:
    """The Euclidean norm of one array in its own precision, with the range and the derivatives of `global_norm`.

    Except on CPU it always reads the array twice: a GPU would have to wait for a branch in every leaf.

    Args:
        x: an array, real or complex.
        axes: sum over these axes, which then have length 1; if None, over all, and the result is a scalar.
        axis_name: mesh axes over which the array is split, along `axes`; the norm is then that of all parts.
    """
    axis_name = own_axes(x, axis_name)
    on_cpu = jax.default_backend() == "cpu"
    x = jax.lax.optimization_barrier(x) if on_cpu and is_staged(x) else x  # as in `_norm_of_all`
    # The unit is the same on all devices, since it depends on the sum over all.
    squares = summed(sum_of_squares(x, axes), axis_name)

    def again() -> jax.Array:
        safe, unit = _is_safe(squares), _unit(squares)
        # A select of entries, not of units: XLA makes (c*unit)**2 of a constant c to c**2 * unit**2, which is 0 * inf.
        scaled = jnp.where(safe, x, x * unit.astype(x.dtype))
        root = jnp.sqrt(summed(sum_of_squares(scaled, axes), axis_name))
        return jnp.where(safe, root, root / unit)

    if not on_cpu or not is_staged(squares):
        return again()
    return jax.lax.cond(jnp.all(_is_safe(squares)), lambda: jnp.sqrt(squares), again)


@leaf_norm.defjvp
def _(axes: Any, axis_name: AxisName, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    norm = leaf_norm(x, axes, axis_name)
    return norm, summed(_along(x, dx, norm, axes), own_axes(x, axis_name))


def within(bound: Any, norm: jax.Array) -> jax.Array:
    """The factor that reduces a norm to a bound: `min(1, bound/norm)`, with derivative 0 at norm 0."""
    bound = jnp.asarray(bound, norm.dtype)
    inside, one = norm <= bound, jnp.ones_like(norm)
    return jax.lax.select(inside, one, ratio(bound, jax.lax.select(inside, one, norm)))


@jax.custom_jvp
def ratio(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, with a derivative that is correct wherever x / y is. JAX divides by y², which may overflow."""
    return x / y


@ratio.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x, y), (dx, dy) = primals, tangents
    z = ratio(x, y)
    return z, dx / y - z * (dy / y)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _norm_of_all(leaves: list, axes: tuple[AxisName, ...] | None) -> jax.Array:
    """The root of the sum of squares. If that overflows or underflows, the leaves are scaled by a power of two."""

    # XLA would square the factors of a product apart: of c*s with a constant c = 1e25 it makes c²·s², and c² overflows.
    # The barrier hides the factors. It costs no buffer, since the branches below need the leaves in memory anyway.
    # Leaves of one kind only behind one barrier: in `shard_map` what comes out varies where any of them does.
    kinds: list[AxisName] = [None] if axes is None else list(dict.fromkeys(axes))
    groups = [leaves if axes is None else [x for x, a in zip(leaves, axes, strict=True) if a == k] for k in kinds]
    groups = [jax.lax.optimization_barrier(group) for group in groups]

    def scaled(squares: jax.Array) -> jax.Array:
        unit = _unit(squares)
        return jnp.sqrt(sum_of_terms([_total(_scaled_by(unit, group)) for group in groups], kinds)) / unit

    # The second pass runs only if needed. All devices take the same branch, since it depends on the sum over all.
    squares = sum_of_terms(map(_total, groups), kinds)
    return jax.lax.cond(_is_safe(squares), jnp.sqrt, scaled, squares)


def _scaled_by(unit: jax.Array, leaves: list) -> list:
    # The barrier hides the factors: for a constant c, XLA turns (c*unit)**2 into c**2 * unit**2, which overflows.
    # Around the products it would cost a buffer of the size of the leaves.
    entries, factor = jax.lax.optimization_barrier((leaves, unit))
    return [jax.lax.mul(x, factor.astype(x.dtype)) for x in entries]


@jax.jit  # at the top of the module: both passes share one function, which is traced and lowered once
def _total(leaves: list) -> jax.Array:
    """The sum of squares of all entries; with `lax` alone, which traces in a fifth of jnp's time."""
    return functools.reduce(jax.lax.add, [_of_squares(x) for x in leaves])


def _of_squares(x: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x):
        return jax.lax.add(_of_squares(jax.lax.real(x)), _of_squares(jax.lax.imag(x)))
    return jax.lax.reduce_sum(jax.lax.square(x), range(x.ndim))


@_norm_of_all.defjvp
def _(axes: tuple[AxisName, ...] | None, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (leaves,), (steps,) = primals, tangents
    norm = _norm_of_all(leaves, axes)
    terms = [_along(x, dx, norm, None) for x, dx in zip(leaves, steps, strict=True)]
    return norm, sum_of_terms(terms, axes or [None] * len(terms))


_norm = jax.jit(_norm_of_all, static_argnums=1)  # at the top: eager calls do not trace the branches again


def _along(x: jax.Array, dx: jax.Array, norm: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    """The change of the norm: dx along the direction of x. Nothing is squared, and x = 0 is not singular."""
    direction = x / jnp.where(norm == 0, 1.0, norm).astype(x.dtype)
    return jnp.sum((direction.conj() * dx).real, axes, keepdims=axes is not None)


def _is_safe(squares: jax.Array) -> jax.Array:
    """Whether a sum of squares is accurate: no overflow, and above tiny/eps, below which squares underflow."""
    info = jnp.finfo(squares.dtype)
    return (squares <= info.max) & (squares > info.tiny / info.eps)


def _unit(squares: jax.Array) -> jax.Array:
    """The power of two by which entries are multiplied if the sum of their squares is not accurate."""
    power = 2.0 ** (3 * jnp.finfo(squares.dtype).maxexp // 4)
    return jnp.where(squares > 1, 1 / power, power).astype(squares.dtype)


@functools.partial(
    jax.jit, static_argnums=1, inline=True
)  # at the top of the module, so that each shape is traced once
def sum_of_squares(x: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    if jax.default_backend() != "cpu":  # a barrier would cost a buffer there, and on CPU this would take twice the time
        x = jax.lax.complex(_hidden(x.real), _hidden(x.imag)) if jnp.iscomplexobj(x) else _hidden(x)
    return jnp.sum(abs_sq(x), axes, keepdims=axes is not None)


def _hidden(x: jax.Array) -> jax.Array:
    """x, with the lowest number for -infinity: XLA does not see that it is a product, and squares it as a whole."""
    return jnp.maximum(x, jnp.finfo(x.dtype).min)
