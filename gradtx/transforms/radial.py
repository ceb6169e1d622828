"""The part of an update along the parameters, and the size of an update against theirs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.numerics import quotient
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import in_unit_interval, non_negative, one_of
from gradtx.transforms.norms import leaf_norm
from gradtx.transforms.split import AxisName, map_split, own_axes, require_axis_name, summed

Axes = int | tuple[int, ...] | None


@transformation
def remove_radial(
    factor: Hyper = 1.0,
    when: str = "always",
    *,
    keep_norm: bool = False,
    axis: Axes = None,
    axis_name: AxisName = None,
):
    """Remove from the update of each leaf its part along the parameters: what is left turns them.

        r = w·Re⟨w, g⟩/‖w‖₂²                         the radial part
        u = g - factor·r                              always, or where Re⟨w, g⟩ < 0
        u = u·‖g‖₂/‖u‖₂                               with keep_norm

    The updates are directions, in front of the learning rate: Re⟨w, g⟩ < 0 makes the parameters longer. Where w is 0,
    the update does not change. With factor = 0 no update does, to the bit.

    Args:
        factor: the share of the radial part that is removed; in [0, 1].
        when: "always"; or "outward": only where it makes the parameters longer.
        keep_norm: whether the rest is made as long as the update was. A rest that is only rounding (below 1e-6 of the
            update) becomes 0.
        axis: an axis or a tuple: each slice along them has a radial part of its own, as `axis=0` for the columns of a
            matrix. None: the leaf has one.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which leaves are split, along
            `axis`. Updates must be split like the parameters.

    State: none. Its update needs `params`.
    Raises: ValueError: factor is outside [0, 1], `when` is another word, or a leaf does not have this axis. TypeError:
        axis or axis_name is something else.
    Source: with keep_norm, Prieto et al. 2025 (arXiv:2501.04697), section 5.1: OrthoGrad, in front of an optimizer.
        `when="outward"` with factor 0.5 is the radial brake of NVIDIA's speed runs. For AdamP see
        `project_scale_invariant`. Not in optax. Within 20 ulp of exact arithmetic over 1,000 steps in float32, relative
        to the largest entry of the update.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.remove_radial(), jnp.array([2.0, 0.0])
        >>> print(tx.update(jnp.array([3.0, 4.0]), tx.init(w), w)[0])
        [0. 4.]
    """
    in_unit_interval(factor=factor)
    one_of(("always", "outward"), when=when)
    axes = as_axes(axis)
    require_axis_name(axis_name)
    nothing = isinstance(factor, float) and factor == 0.0

    def leaf(split, g, w):
        along, direction = radial_part(g, w, axes, split)
        share = factor if when == "always" else jnp.where(along < 0, factor, 0.0)
        u = g - share * along * direction
        if not keep_norm:
            return u
        of_g, of_u = (leaf_norm(x, axes, split) for x in (g, u))
        unchanged = share * along == 0
        return jnp.where(unchanged, g, u * quotient(of_g, jnp.where(of_u > 1e-6 * of_g, of_u, 0.0)))

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        require_axes("remove_radial", axes, updates)
        return map_split(_unchanged if nothing else leaf, axis_name, updates, params), state

    return init, update


@transformation
def floor_by_weight_norm(ratio: Hyper = 0.35, *, axis: Axes = None, axis_name: AxisName = None):
    """Make the update of each leaf longer where it is short against the parameters.

        u = g·max(1, ratio·‖w‖₂/‖g‖₂),   0 where g is 0

    Behind a direction and in front of the learning rate it bounds the relative step from below: to learning_rate·ratio.
    With ratio = 0 no update changes, to the bit.

    Args:
        ratio: the smallest ratio of the norms of update and parameters; finite, at least 0.
        axis: as in `remove_radial`.
        axis_name: as in `remove_radial`.

    State: none. Its update needs `params`.
    Raises: ValueError: ratio is negative or infinite, or a leaf does not have this axis. TypeError: axis or axis_name
        is something else.
    Source: the u/w floor of the speed runs of modded-nanogpt, whose ratio is 0.35 for a leaf, and 0.3825 for a row. Not
        in optax. Within 12 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.floor_by_weight_norm(0.5), jnp.array([30.0, 40.0])
        >>> print(tx.update(jnp.array([0.0, -4.0]), tx.init(w), w)[0])
        [  0. -25.]
    """
    non_negative(ratio=ratio)
    axes = as_axes(axis)
    require_axis_name(axis_name)

    def leaf(split, g, w):
        of_g, least = leaf_norm(g, axes, split), ratio * leaf_norm(w, axes, split)
        short = of_g < least
        # The direction first: the ratio of the norms may overflow, the update does not.
        direction = quotient(g, jnp.broadcast_to(of_g, g.shape).astype(g.dtype))
        return jnp.where(short, direction * least, g)

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        require_axes("floor_by_weight_norm", axes, updates)
        return map_split(leaf, axis_name, updates, params), state

    return init, update


def radial_part(
    g: jax.Array, w: jax.Array, axes: tuple[int, ...] | None, axis_name: AxisName = None
) -> tuple[jax.Array, jax.Array]:
    """How far g goes along w, and the unit vector of w; both are 0 where w is."""
    norm = leaf_norm(w, axes, axis_name)
    direction = quotient(w, jnp.broadcast_to(norm, w.shape).astype(w.dtype))
    part = jnp.sum((direction.conj() * g).real, axes, keepdims=axes is not None)
    return summed(part, own_axes(part, axis_name)), direction


def _unchanged(axes: AxisName, g: jax.Array, w: jax.Array) -> jax.Array:
    return g


def as_axes(axis: Any) -> tuple[int, ...] | None:
    """An axis or several as a tuple; None stays. Raises TypeError for anything else."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axis is not None and not all(isinstance(k, int) and not isinstance(k, bool) for k in axes):
        raise TypeError(f"axis must be a whole number, a tuple of them, or None; got {axis!r}")
    return None if axis is None else axes


def require_axes(who: str, axes: tuple[int, ...] | None, updates: Any) -> None:
    """Raise ValueError, naming the leaf, if one of the updates has not all of these axes, or one of them twice."""
    for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True) if axes else ():
        wrong = wrong_axes(axes, len(shape_of(g))) if is_trained(g) else ""
        if wrong:
            raise ValueError(f"{who}: the update at {name} has shape {shape_of(g)}, {wrong}")


def wrong_axes(axes: tuple[int, ...] | None, ndim: int) -> str:
    """What is wrong with axes of an array: `"no axis 2"`, or that one is named twice; else ""."""
    missing = next((k for k in axes or () if not -ndim <= k < ndim), None)
    if missing is not None:
        return f"no axis {missing}"
    twice = len({k % ndim for k in axes or ()}) < len(axes or ())
    return f"of which {axes} names one axis twice" if twice else ""
