"""Updates with a chosen norm, with mean zero, or without NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, quotient, zero_count
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.errors import finite, non_negative, whole
from gradtx.transforms.basic import sign_of
from gradtx.transforms.norms import global_norm, leaf_norm
from gradtx.transforms.split import AxisName, device_count, map_split, on_all, own_axes, require_axis_name, summed


class ZeroNansState(NamedTuple):
    """The state of `zero_nans`."""

    count: jax.Array  # updates so far that had a NaN; int32 scalar; 0 at init


def _sign(given: Mapping[str, Any], signs: list[int]) -> int:
    return sign_of(given["scale_factor"])


@transformation(any_leaves=True, sparse_rows=True, whole_tree=True, sign=_sign)
def normalize_by_update_norm(scale_factor: Hyper = 1.0, eps: Hyper = 1e-6, *, axis_name: AxisName = None):
    """Divide all updates by the norm of the whole tree.

        u = scale_factor·g/(‖g‖₂ + eps)

    The norm does not overflow; above 8e37 the updates become 0. With eps = 0 the result has the norm `scale_factor`,
    and zeros stay zeros.

    Args:
        scale_factor: the norm of the result; finite; in the units of the updates.
        eps: keeps the divisor from zero; finite, at least 0; in the units of the gradient.
        axis_name: as in `clip_by_global_norm`.

    State: none.
    Raises: ValueError: an argument is out of range.
    Source: same as optax, whose norm overflows at 1.8e19, and which gives NaN for zeros if eps = 0. Within 4 ulp of
        exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.normalize_by_update_norm(2.0, eps=0.0)
        >>> print(tx.update(jnp.array([8.0, 8.0, -8.0, 8.0]), tx.init(jnp.zeros(4)))[0])
        [ 1.  1. -1.  1.]
    """
    finite(scale_factor=scale_factor)
    non_negative(eps=eps)
    require_axis_name(axis_name)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        norm = global_norm(updates, axis_name)
        factor = quotient(jnp.asarray(scale_factor, norm.dtype), norm + jnp.asarray(eps, norm.dtype))
        return map_leaves(lambda g: factor * g, updates), state

    return init, update


@transformation
def scale_by_trust_ratio(
    min_norm: Hyper = 0.0, trust_coefficient: Hyper = 1.0, eps: Hyper = 0.0, *, axis_name: AxisName = None
):
    """Make the norm of each leaf's update proportional to the norm of its parameters.

        u = g·trust_coefficient·max(‖w‖₂, min_norm)/(max(‖g‖₂, min_norm) + eps)      norms of the leaf
        u = g      if one of the two maxima is 0

    Neither the norms nor their ratio overflow, up to the largest number. LAMB and LARS do not apply this to biases and
    gains. On a CPU, put `take_turns` between a computed direction and this piece: it saves memory and time.

    Args:
        min_norm: smaller norms count as this; finite, at least 0.
        trust_coefficient: the ratio of the norms of update and parameters; finite, at least 0. LARS uses 0.001.
        eps: added to the norm of the update; finite, at least 0.
        axis_name: as in `clip_by_leaf_norm`. Updates must be split like the parameters.

    State: none. Its update needs `params`.
    Raises: ValueError: an argument is out of range. TypeError: axis_name is not a name.
    Source: You et al. 2017 (arXiv:1708.03888), the local learning rate of LARS; You et al. 2020 (arXiv:1904.00962),
        algorithm 2 (LAMB), with φ(x) = x. Same as optax, whose norms overflow at 1.8e19. Within 6 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_trust_ratio(), jnp.array([3.0, 4.0])
        >>> print(tx.update(jnp.array([0.0, -0.1]), tx.init(w), w)[0])
        [ 0. -5.]
    """
    non_negative(min_norm=min_norm, trust_coefficient=trust_coefficient, eps=eps)
    require_axis_name(axis_name)

    def leaf(axes, g, w):
        of_w, of_g = (jnp.maximum(leaf_norm(x, None, axes), min_norm) for x in (w, g))
        nothing = (of_w == 0) | (of_g == 0)
        # The direction is computed first: the ratio of a large and a small norm may overflow, the update does not.
        # Both are made smaller where the reciprocal of the norm, by which XLA multiplies, would be below the normal
        # numbers.
        divisor = jnp.where(nothing, 1.0, of_g + eps)
        unit = jnp.where(divisor > float(jnp.finfo(divisor.dtype).max) / 64, 1 / 64, 1.0).astype(divisor.dtype)
        direction = g * unit.astype(g.dtype) / (divisor * unit)
        return direction * jnp.where(nothing, 1.0, trust_coefficient * of_w)

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        return map_split(leaf, axis_name, updates, params), state

    return init, update


@transformation
def centralize(output_axis: int = -1, *, axis_name: AxisName = None):
    """Subtract from the update of each output its mean, in leaves of two or more axes.

        u = g - mean(g)      over all axes except `output_axis`

    The mean of large entries does not overflow. Leaves with fewer axes do not change.

    Args:
        output_axis: the axis of the outputs. It is the last in kernels of shape (..., in, out), as in Flax and Keras,
            and 0 in those of torch, (out, in, ...).
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which leaves of two or more axes
            are split along other axes than `output_axis`. The mean is then that of all parts. If leaves are split along
            `output_axis`, each device has all weights of its outputs: leave it None.

    State: none.
    Raises: TypeError: output_axis is not an integer; axis_name is not a name. ValueError: a leaf does not have this
        axis.
    Source: Yong et al. 2020 (arXiv:2004.01461), equation 1. optax always uses output_axis=0, which in a kernel
        (in, out) is the axis of the inputs. Within 2 ulp of exact arithmetic over 1,000 steps in float32, relative to
        the largest entry.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.centralize(), jnp.zeros((2, 3))
        >>> print(tx.update(jnp.array([[1.0, 2.0, 0.0], [3.0, 2.0, 4.0]]), tx.init(w))[0])
        [[-1.  0. -2.]
         [ 1.  0.  2.]]
    """
    whole(output_axis=output_axis)
    require_axis_name(axis_name)

    def leaf(split, g):
        if g.ndim < 2 or g.size == 0:
            return g
        axes, own = tuple(k for k in range(g.ndim) if k != output_axis % g.ndim), own_axes(g, split)
        count = g.size // g.shape[output_axis] * device_count(own)
        unit = 0.5 ** count.bit_length()  # a power of two, so that nothing is rounded and no sum overflows
        return g - summed(jnp.sum(g * unit, axes, keepdims=True), own) / (count * unit)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True):
            n = len(shape_of(g)) if is_trained(g) else 0
            if n > 1 and not -n <= output_axis < n:
                raise ValueError(f"centralize: the update at {name} has shape {shape_of(g)}, no axis {output_axis}")
        return map_split(leaf, axis_name, updates), state

    return init, update


@transformation
def zero_nans(*, axis_name: AxisName = None):
    """Replace NaN by 0, and count the updates that had a NaN.

        u = 0 if g is NaN, else g

    A complex entry is NaN if one of its parts is. Infinities stay: `clip_by_value` and `clip_by_global_norm` bound
    them.

    Args:
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the updates are split. An
            update in which any device has a NaN is then counted once, on all devices. It does not change what becomes
            0.

    State: `ZeroNansState`: count, int32 scalar, the updates so far that had a NaN; 0 at init.
    Raises: TypeError: axis_name is not a name.
    Source: same updates as optax, whose state has a flag per leaf for the last update. This counter also shows what
        happened between two looks.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.zero_nans()
        >>> u, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
        >>> print(u, state.count)
        [1. 0.] 1
    """

    require_axis_name(axis_name)

    def init(params):
        return ZeroNansState(zero_count())

    def update(updates, state, params=None):
        found = [jnp.any(jnp.isnan(g)) for g in jax.tree.leaves(updates) if is_trained(g)]
        count = increment(state.count, ~on_all(~jnp.stack(found).any(), axis_name)) if found else state.count
        return map_leaves(lambda g: jnp.where(jnp.isnan(g), 0.0, g), updates), ZeroNansState(count)

    return init, update
