"""The direction of one transformation with the length of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.leaves import at_width, float_dtype, map_leaves
from gradtx.core.numerics import on_real_and_imag
from gradtx.core.pair import require_changeable
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import OwnShapes, flatten, is_trained, leaf_names, require_same_tree, shape_of
from gradtx.errors import one_of
from gradtx.frames.frame import Frame
from gradtx.frames.trees import into_frame
from gradtx.transforms.basic import identity
from gradtx.transforms.norms import global_norm, leaf_norm, ratio
from gradtx.transforms.split import AxisName, map_split, require_axis_name
from gradtx.wrappers.frame import Inside

_PER = ("tree", "leaf", "matrix", "channel", "entry")


class GraftState(NamedTuple):
    """The state of `graft`: the states of both transformations."""

    direction: Any
    magnitude: Any


def _sign(given: Mapping[str, Any], signs: list[int]) -> int:
    return signs[0]  # a length has none


@transformation(sign=_sign, words={"out": "the direction of one, the length of the other"})
def graft(
    direction: Transformation,
    magnitude: Transformation,
    per: str | int = "leaf",
    *,
    through: Frame | None = None,
    axis_name: AxisName = None,
):
    """Give the same updates to two transformations; take the direction of one, with the length of the other.

        u = d·‖m‖₂/‖d‖₂,      d = direction(g),   m = magnitude(g);   0 where d is 0

    The norms are those of each leaf, or of parts of it. They do not overflow. Where they differ by a factor of more
    than 1e38, a direction with a norm above 8e37 becomes 0. `graft(tx, tx)` gives the updates of `tx`, to the bit. With
    large leaves on a CPU, end `direction` with `take_turns`: fewer leaves are then held at once.

    Args:
        direction, magnitude: the transformations. Their updates must point the same way, along the gradient or against
            it: of two whole optimizers, or of two pieces in front of one learning rate.
        per: what has a norm of its own. "leaf": each leaf. "matrix": the last two axes, so that axes in front of them
            count matrices. "channel": each index of the last axis, the outputs of a kernel as in Flax and Keras; leaves
            with fewer than two axes are one channel. A whole number: the same for another axis. "entry": each entry, so
            u = |m|·sign(d). "tree": all leaves together.
        through: a frame of `gradtx.frames` in which `magnitude` runs and both norms are taken. Its state then has the
            size that a leaf has in the frame. There, `per` is "leaf", "tree", or "channel": each index of the axis that
            the frame leaves as it is, of the last one if that is both.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split, along
            other axes than that of the channels. The norms are then those of all parts. Not with `through`.

    State: `GraftState`: the states of both; with `through`, that of `magnitude` is an `InFrameState`.
    Raises: ValueError: `per` is another word, or an axis that a leaf does not have; one of the two is an optimizer and
        the other a piece in front of a learning rate; one sets the parameters, such as `compensate`; the updates of the
        two do not fit each other; the frame cannot take a leaf, or changes all of its axes. TypeError: axis_name is not
        a name; through is not a frame.
    Source: Agarwal et al. 2020 (arXiv:2002.11803), AdaGraft, per leaf or for the whole tree. Not in optax. Within 6
        ulp of the exact quotient.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.graft(gradtx.scale_by_sign(), gradtx.identity())
        >>> print(tx.update(jnp.array([7.0, 1.0, -1.0, 7.0]), tx.init(jnp.zeros(4)))[0])
        [ 5.  5. -5.  5.]
    """
    chosen: Any = per
    if not isinstance(per, int) or isinstance(per, bool):
        one_of(_PER, per=chosen)
    require_axis_name(axis_name)
    for inner in (direction, magnitude):
        require_changeable("graft", inner)
    if direction.traits.sign * magnitude.traits.sign < 0:
        up, down = sorted((direction, magnitude), key=lambda tx: -tx.traits.sign)
        raise ValueError(
            f"the updates of {up.name} point along the gradient, and those of {down.name} against it: give two whole "
            f"optimizers, or two pieces and put scale_by_learning_rate after graft"
        )
    if through is not None:
        if axis_name is not None:
            raise ValueError("a frame needs whole leaves: with through, leave axis_name out")
        return _grafted_through(direction, magnitude, per, through)

    def init(params):
        return GraftState(direction.init(params), magnitude.init(params))

    def update(updates, state, params=None, **extra):
        d, of_d = direction.update(updates, state.direction, params, **direction.extras.taken(extra))
        m, of_m = magnitude.update(updates, state.magnitude, params, **magnitude.extras.taken(extra))
        require_same_tree("update of the magnitude", m, "update of the direction", d)
        if isinstance(per, int):
            _require_axis(per, d)
        return grafted(d, m, per, axis_name), GraftState(of_d, of_m)

    return init, update


def _grafted_through(direction: Any, magnitude: Any, per: str | int, frame: Frame) -> tuple:
    """The pair of a graft whose lengths are those inside a frame."""
    inside = Inside("graft", magnitude, frame)
    if per not in ("tree", "leaf", "channel"):
        raise ValueError(f"per must be 'tree', 'leaf' or 'channel' with through; got {per!r}")

    def init(params):
        return GraftState(direction.init(params), inside.init(params))

    def update(updates, state, params=None, **extra):
        d, of_d = direction.update(updates, state.direction, params, **direction.extras.taken(extra))
        require_same_tree("update of the direction", d, "gradient", updates)
        m, of_m = inside.update(updates, state.magnitude, params, **magnitude.extras.taken(extra))
        seen = into_frame(frame, m.mine, m.bases, d)
        if per == "tree":
            norms = global_norm(seen), global_norm(m.updates)
            u = map_leaves(lambda d: _with_length(d, *(x.astype(d.real.dtype) for x in norms)), d)
            return u, GraftState(of_d, of_m)
        names, (leaves, structure) = leaf_names(d), flatten(d)
        rows = zip(names, leaves, flatten(seen)[0], flatten(m.updates)[0], strict=True)
        norms = [_norms(name, x, y, z, per) if is_trained(x) else (None, None) for name, x, y, z in rows]
        trees = (OwnShapes(jax.tree.unflatten(structure, column)) for column in zip(*norms, strict=True))
        old, new = trees if norms else (OwnShapes(d), OwnShapes(d))
        return map_leaves(_with_length, d, old, new), GraftState(of_d, of_m)

    return init, update


def _norms(name: str, outside: Any, d: Any, m: Any, per: Any) -> tuple[jax.Array, jax.Array]:
    """The norms of a leaf of both, inside a frame, in a shape that can be multiplied with the leaf outside."""
    was, now = shape_of(outside), shape_of(d)
    if per == "leaf" or len(was) < 2:
        axes = None
    else:
        kept = [k for k in (-1, -2) if len(was) == len(now) and was[k] == now[k]]
        if not kept:
            raise ValueError(
                f"the leaf at {name} has shape {was}, and {now} in the frame: no axis of both is a channel"
            )
        axes = tuple(k for k in range(len(now)) if k != kept[0] % len(now))
    both = (jnp.asarray(x).astype(at_width(jnp.result_type(x), float_dtype(x))) for x in (d, m))
    old, new = (leaf_norm(x, axes) for x in both)
    return old, new


@transformation
def keep_norm(inner: Transformation, per: str | int = "leaf", *, axis_name: AxisName = None):
    """Let a transformation change the direction of the updates, and give them back the norm that they had.

        u = inner(g)·‖g‖₂/‖inner(g)‖₂

    Args:
        inner: the transformation; a piece whose updates point along the gradient.
        per, axis_name: as in `graft`.

    State: `GraftState`: that of `inner`, and none.
    Source: `graft(inner, identity())`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.keep_norm(gradtx.scale_by_sign())
        >>> print(tx.update(jnp.array([7.0, 1.0, -1.0, 7.0]), tx.init(jnp.zeros(4)))[0])
        [ 5.  5. -5.  5.]
    """
    return graft(inner, identity(), per, axis_name=axis_name)


def grafted(d: Any, m: Any, per: str | int = "leaf", axis_name: AxisName = None) -> Any:
    """A tree with the directions of `d` and the lengths of `m`, as in `graft`."""
    if per == "tree":
        norms = global_norm(d, axis_name), global_norm(m, axis_name)
        return map_leaves(lambda d: _with_length(d, *(x.astype(d.real.dtype) for x in norms)), d)

    def leaf(axes: AxisName, d: jax.Array, m: jax.Array) -> jax.Array:
        if per == "entry" and not jnp.iscomplexobj(d):
            return jnp.sign(d) * jnp.abs(m)
        norms = (jnp.abs(x) if per == "entry" else leaf_norm(x, _axes(per, x.ndim), axes) for x in (d, m))
        return _with_length(d, *norms)

    return map_split(leaf, axis_name, d, m)


def _with_length(d: jax.Array, old: jax.Array, new: jax.Array) -> jax.Array:
    """d·new/old; d itself where the lengths are equal, to the bit, or where d is 0."""
    nothing = old == 0
    factor = jnp.where(nothing, 1.0, ratio(new, jnp.where(nothing, 1.0, old)))
    # Where the ratio of the lengths overflows or underflows, the direction is computed first.
    info = jnp.finfo(old.dtype)
    inside = (factor >= info.tiny) & (factor <= info.max)
    divisor, factor = jnp.where(inside | nothing, 1.0, old), jnp.where(inside, factor, new)
    return on_real_and_imag(lambda x: (x / divisor * factor,))(d)[0]  # a product of complex numbers is not exact


def _axes(per: str | int, ndim: int) -> tuple[int, ...] | None:
    """The axes over which a norm is summed; None for all."""
    if per == "leaf" or ndim < 2:
        return None
    if per == "matrix":
        return (ndim - 2, ndim - 1)
    kept = (-1 if per == "channel" else per) % ndim
    return tuple(k for k in range(ndim) if k != kept)


def _require_axis(axis: int, tree: Any) -> None:
    for name, x in zip(leaf_names(tree), flatten(tree)[0], strict=True):
        n = len(shape_of(x)) if is_trained(x) else 0
        if n > 1 and not -n <= axis < n:
            raise ValueError(f"the update at {name} has shape {shape_of(x)}, no axis {axis}")
