"""Updates of a norm that is chosen, of mean zero, without NaN: what is taken out of gradients before other steps."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.errors import finite, non_negative, whole
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import map_leaves
from gradtx.core.numerics import increment, quotient, zero_count
from gradtx.core.states import EmptyState
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, leaf_names, shape_of
from gradtx.transforms.norms import AxisName, device_count, global_norm, leaf_norm, on_all, require_axis_name, summed


class ZeroNansState(NamedTuple):
    """count: int32 scalar, the updates so far that had a NaN; 0 at init."""

    count: jax.Array


@transformation(any_leaves=True, sparse_rows=True, whole_tree=True)
def normalize_by_update_norm(scale_factor: Hyper = 1.0, eps: Hyper = 1e-6, *, axis_name: AxisName = None):
    """Divide all updates by their norm, taken over the whole tree.

        u = scale_factor·g/(‖g‖₂ + eps)

    The norm does not overflow (above 8e37 the updates become 0). With eps = 0 the result has the norm `scale_factor`,
    and zero stays zero.

    Args:
        scale_factor: the norm of the result; finite; the unit of the updates.
        eps: keeps the divisor from zero; finite, at least 0; the unit of the gradient.
        axis_name: as in `clip_by_global_norm`.

    State: none.
    Raises: ValueError: an argument out of range.
    Source: as optax's, whose norm overflows at 1.8e19, and which gives NaN for zeros where eps = 0. Within 4 ulp of
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
    """Give the update of each leaf a norm in proportion to that of its parameters.

        u = g·trust_coefficient·max(‖w‖₂, min_norm)/(max(‖g‖₂, min_norm) + eps)      norms of the leaf
        u = g      where one of the two maxima is 0

    No norm overflows, nor does their ratio; a leaf whose ‖g‖₂ is above 8e37 becomes 0. LAMB and LARS leave biases and
    gains out.

    Args:
        min_norm: the least that either norm counts as; finite, at least 0.
        trust_coefficient: the ratio of the norms of step and parameters; finite, at least 0. LARS: 0.001.
        eps: is added to the norm of the update; finite, at least 0.
        axis_name: as in `clip_by_leaf_norm`; the updates are split as the parameters are.

    State: none; update needs the parameters.
    Raises: ValueError: an argument out of range. TypeError: an axis that is no name.
    Source: You et al. 2017 (arXiv:1708.03888), the local rate of LARS; You et al. 2020 (arXiv:1904.00962), algorithm 2
        (LAMB), with φ(x) = x. As optax's, whose norms overflow at 1.8e19. Within 6 ulp of exact arithmetic over 1,000
        steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_trust_ratio(), jnp.array([3.0, 4.0])
        >>> print(tx.update(jnp.array([0.0, -0.1]), tx.init(w), w)[0])
        [ 0. -5.]
    """
    non_negative(min_norm=min_norm, trust_coefficient=trust_coefficient, eps=eps)
    require_axis_name(axis_name)

    def leaf(g, w):
        of_w, of_g = (jnp.maximum(leaf_norm(x, None, axis_name), min_norm) for x in (w, g))
        nothing = (of_w == 0) | (of_g == 0)
        # The direction first: the ratio of a large norm and a small one need not be a number, the step is.
        direction = g / jnp.where(nothing, 1.0, of_g + eps)
        return direction * jnp.where(nothing, 1.0, trust_coefficient * of_w)

    def init(params):
        return EmptyState()

    def update(updates, state, params):
        return map_leaves(leaf, updates, params), state

    return init, update


@transformation
def centralize(output_axis: int = -1, *, axis_name: AxisName = None):
    """Subtract from the update of each output its mean, in leaves of two axes or more.

        u = g - mean(g)      over all axes but `output_axis`

    The mean of large entries does not overflow. Leaves of fewer axes pass.

    Args:
        output_axis: the axis that counts the outputs. In kernels of the shape (..., in, out), as Flax and Keras have
            them, it is the last; in those of torch, (out, in, ...), it is 0.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the leaves of two axes or
            more are split along other axes than `output_axis`; the mean is then that of all parts. Where they are
            split along `output_axis`, each device has all weights of its outputs: leave it None.

    State: none.
    Raises: TypeError: an axis that is no integer; an axis_name that is no name. ValueError: one that a leaf has not.
    Source: Yong et al. 2020 (arXiv:2004.01461), equation 1. optax's always keeps axis 0, which in a kernel (in, out)
        counts the inputs: `output_axis=0` is the same. Within 2 ulp of exact arithmetic over 1,000 steps in float32,
        counted at the size of the largest entry.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.centralize(), jnp.zeros((2, 3))
        >>> print(tx.update(jnp.array([[1.0, 2.0, 0.0], [3.0, 2.0, 4.0]]), tx.init(w))[0])
        [[-1.  0. -2.]
         [ 1.  0.  2.]]
    """
    whole(output_axis=output_axis)
    require_axis_name(axis_name)

    def leaf(g):
        if g.ndim < 2 or g.size == 0:
            return g
        axes = tuple(k for k in range(g.ndim) if k != output_axis % g.ndim)
        count = g.size // g.shape[output_axis] * device_count(axis_name)
        unit = 0.5 ** count.bit_length()  # a power of two: it rounds nothing, and the sum does not overflow
        return g - summed(jnp.sum(g * unit, axes, keepdims=True), axis_name) / (count * unit)

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        for name, g in zip(leaf_names(updates), flatten(updates)[0], strict=True):
            n = len(shape_of(g)) if is_trained(g) else 0
            if n > 1 and not -n <= output_axis < n:
                raise ValueError(f"centralize: the update at {name} has shape {shape_of(g)}: no axis {output_axis}")
        return map_leaves(leaf, updates), state

    return init, update


@transformation
def zero_nans(*, axis_name: AxisName = None):
    """Put 0 where an update is NaN, and count the steps in which one was.

        u = 0 where g is NaN, else g

    A complex entry is NaN where a part of it is. Infinities stay: `clip_by_value` and `clip_by_global_norm` bound them.

    Args:
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the updates are split: a
            step in which one device has a NaN is then counted on all, once. What becomes 0 does not depend on it.

    State: `ZeroNansState`: count, int32 scalar, the updates so far that had a NaN; 0 at init.
    Raises: TypeError: an axis that is no name.
    Source: as optax's, whose state tells of each leaf whether it had a NaN in the last update; here one number for all
        keeps what happened between two looks.

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
