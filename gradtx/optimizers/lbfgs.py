"""L-BFGS with a line search, for full batches."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import at_width, float_dtype, map_leaves, zeros
from gradtx.core.numerics import increment, quotient, safe_sqrt, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import as_transformation, transformation
from gradtx.errors import whole
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.line import like_trained
from gradtx.transforms.norms import global_norm
from gradtx.transforms.split import AxisName, listed, require_axis_name
from gradtx.transforms.vectors import inner, trained
from gradtx.transforms.zoom import scale_by_zoom_linesearch
from gradtx.values.factory import LeafMarker


class ScaleByLbfgsState(NamedTuple):
    """The state of `scale_by_lbfgs`. Arrays are float32 or wider.

    params and updates must be kept exactly, since differences of close numbers are taken from them. So must the pairs:
    after rounding, s'y may be negative.
    """

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    slot: jax.Array  # where the next pair is stored; int32 scalar; 0 at init
    params: Exact  # the parameters of the last update; like params; 0 at init
    updates: Exact  # the gradients of the last update; like params; 0 at init
    diff_params_memory: Exact  # each s, scaled so that s'y = 1; like params, with a first axis memory_size; 0 at init
    diff_updates_memory: Exact  # each y, scaled likewise; like diff_params_memory; 0 at init
    weights_memory: jax.Array  # s'y/y'y of each pair before scaling, 0 without a pair; (memory_size,); 0 at init


@transformation(any_leaves=True)
def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True, *, axis_name: AxisName = None):
    """Multiply the gradient by the L-BFGS approximation of the inverse Hessian.

        s = w - w_last,   y = g - g_last,   γ = s'y/y'y of the newest pair,   H = γ·I
        H = (I - s·y'/s'y)·H·(I - y·s'/s'y) + s·s'/s'y      for each pair in the memory, from the oldest to the newest
        u = H·g

    A pair is stored only if its curvature is not too small: the cosine of s and y must be greater than the root of the
    rounding unit, 3.5e-4 in float32. (On a quadratic function that holds up to a condition number of 3e7.) So H stays
    positive definite, and -u is a direction of descent. If rounding makes it another direction, or H·g overflows, u is
    that of the first step: g/max(1, ‖g‖), or g without scale_init_precond. Where ‖g‖ is above 8e37 (float32), u is 0.

    A pair whose cosine c is small makes H large along s, ‖s‖/(c·‖y‖), and u long. Without a line search nothing
    shortens it: put `clip_by_global_norm` behind. A greater bound for the cosine would drop pairs that are needed: on
    small networks most cosines are below 0.01, and with that bound the loss stays several times higher.

    If neither the parameters nor the gradient have changed, as after a line search that failed, all pairs are dropped.
    The real and imaginary parts of complex entries are entries of their own. H·g is computed by the two-loop recursion:
    two passes over the memory. It is differentiable. The memory holds 2·memory_size numbers per parameter.

    Args:
        memory_size: how many pairs are kept; at least 1; usually 3 to 20.
        scale_init_precond: start from γ·I (and from g/max(1, ‖g‖) without pairs) instead of I.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf of updates and
            parameters is split. Products and norms are then sums over devices: one sum for each pair and pass. For
            leaves that are whole see `split_over`.

    State: `ScaleByLbfgsState`: count and slot, int32 scalars; params and updates, like params; the memories of s and y,
        like params with a first axis; weights_memory, one float per pair; all 0 at init; float32 or wider.
    Raises: ValueError: memory_size is below 1; update is called without params. TypeError: memory_size is not a whole
        number; axis_name is not a name.
    Source: Nocedal & Wright 2006, algorithm 7.4 and equation 7.20; pairs are dropped as in L-BFGS-B (Zhu, Byrd, Lu &
        Nocedal 1997). optax stores pairs unscaled (gradients of 1e20 give NaN), keeps pairs of negative curvature, so
        that its updates may lead uphill, and drops none. Within 2e-4 of exact arithmetic, relative to the length of the
        update, over 1,000 steps in float32 with curvatures that span 1e3; median 4e-7.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.scale_by_lbfgs(), jnp.array([1.0, 1.0])
        >>> _, state = tx.update(jnp.array([4.0, 0.0]), tx.init(w), w)
        >>> print(tx.update(jnp.array([2.0, 0.0]), state, w - jnp.array([0.5, 0.0]))[0])
        [0.5 0. ]
    """
    whole(1, memory_size=memory_size)
    require_axis_name(axis_name)

    def init(params):
        def memory():  # made of zeros(params), since on an Explicit mesh the sharding is part of the type
            return jax.tree.map(lambda z: jnp.broadcast_to(z, (memory_size, *z.shape)), zeros(params))

        weights = jnp.zeros(memory_size, float_dtype(params))
        return ScaleByLbfgsState(zero_count(), zero_count(), zeros(params), zeros(params), memory(), memory(), weights)

    def update(updates, state, params):
        diff_params, last_params = map_leaves(lambda w, params: (w - params, w), params, state.params)
        diff_updates, last_updates = map_leaves(lambda g, updates: (g - updates, g), updates, state.updates)
        width = float_dtype(updates, state.params)
        s, y = trained(diff_params, width), trained(diff_updates, width)
        axes = listed(axis_name, updates)
        size_s, size_y = global_norm(s, axes), global_norm(y, axes)
        s, y, weight = _scaled_pair(s, y, size_s, size_y, width, axes)
        keep, slot = (weight > 0) & (state.count > 0), state.slot
        weights = jnp.where((size_s == 0) & (size_y == 0), 0.0, state.weights_memory)

        def stored(memory, new):
            def leaf(old, x):
                old = jnp.asarray(old)
                new = jnp.where(keep, x.astype(old.dtype), _at(old, slot))
                return jax.lax.dynamic_update_index_in_dim(old, new, slot, 0)

            return jax.tree.map(leaf, memory, like_trained(state.params, new))

        s_memory, y_memory = stored(state.diff_params_memory, s), stored(state.diff_updates_memory, y)
        weights = jnp.where(
            keep & (jnp.arange(memory_size, dtype=slot.dtype) == slot), weight.astype(weights.dtype), weights
        )
        slot = jnp.where(keep, (slot + 1) % memory_size, slot)
        u = _direction(trained(updates, width), trained(s_memory), trained(y_memory), weights, slot, width, axes)
        own = [
            at_width(x.dtype, float_dtype(g, w)) for x, g, w in zip(u, trained(updates), trained(params), strict=True)
        ]
        u = like_trained(updates, [x.astype(dtype) for x, dtype in zip(u, own, strict=True)], others=True)
        count = increment(state.count)
        return u, ScaleByLbfgsState(count, slot, last_params, last_updates, s_memory, y_memory, weights)

    def _direction(g, s, y, weights, slot, width, axes):
        """The two-loop recursion, with g scaled to length one; the newest pair is at slot - 1."""
        norm = global_norm(g, axes)
        unit = [quotient(x, norm.astype(x.dtype)) for x in g]
        first = 1 / jnp.maximum(norm, 1.0) if scale_init_precond else jnp.ones_like(norm)
        newest = _at(weights, (slot - 1) % memory_size).astype(width)
        gamma = jnp.where(newest > 0, newest, first) if scale_init_precond else first

        def back(i, carry):
            q, alphas = carry
            k = (slot - 1 - i) % memory_size
            alpha = jnp.where(_at(weights, k) > 0, inner(_row(s, k), q, width, axes), 0.0)
            return _plus(q, -alpha, _row(y, k)), jnp.where(jnp.arange(memory_size, dtype=k.dtype) == k, alpha, alphas)

        def forth(i, r):
            k = (slot + i) % memory_size
            beta = jnp.where(_at(weights, k) > 0, inner(_row(y, k), r, width, axes), 0.0)
            return _plus(r, _at(alphas, k) - beta, _row(s, k))

        q, alphas = jax.lax.fori_loop(0, memory_size, back, (unit, jnp.zeros(memory_size, width)))
        r = jax.lax.fori_loop(0, memory_size, forth, [gamma.astype(x.dtype) * x for x in q])
        good = (inner(unit, r, width, axes) > 0) & jnp.isfinite(norm * global_norm(r, axes))
        return [jnp.where(good, norm.astype(x.dtype) * x, first.astype(x.dtype) * z) for x, z in zip(r, g, strict=True)]

    return init, update


def _transformation_or_none(name: str, value: Any) -> Any:
    return None if value is None else as_transformation(name, value)


_ZOOM = scale_by_zoom_linesearch(20, initial_guess_strategy="one")


@transformation
def lbfgs(
    learning_rate: Hyper | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Annotated[Any, LeafMarker(_transformation_or_none)] = _ZOOM,
    *,
    axis_name: AxisName = None,
):
    """L-BFGS: `scale_by_lbfgs`, minus the learning rate, then a line search. For full batches.

    Call update under jit. At the optimum no step lowers the value: `info.failed` in the state of the line search is
    then true.

    Args:
        learning_rate: at least 0; None for 1. With a line search it only scales the first guess, so leave it None.
        memory_size, scale_init_precond: as in `scale_by_lbfgs`.
        linesearch: the last member of the chain: `scale_by_zoom_linesearch` (the default, with at most 20 points and a
            first guess of 1), `scale_by_backtracking_linesearch`, or None for the learning rate alone. With None, chain
            a clip behind, since nothing else bounds a step.
        axis_name: as in `scale_by_lbfgs`. A line search without an axis_name takes this one;
            `scale_by_zoom_linesearch` says what value_fn must return then.

    State: a chain's dict: `ScaleByLbfgsState`, and the state of the line search. Its update needs `params`; with a line
        search also the keyword arguments `value`, `grad` and `value_fn`, a function of the parameters.
    Raises: ValueError: the line search has another axis_name; and as `scale_by_lbfgs`.
    Source: Liu & Nocedal 1989 (doi:10.1007/BF01589116). optax has the same recipe.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> f, tx = lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, gradtx.lbfgs()
        >>> @jax.jit
        ... def step(w, state):
        ...     value, grad = gradtx.value_and_grad_from_state(f)(w, state=state)
        ...     updates, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
        ...     return gradtx.apply_updates(w, updates), state
        >>> w = jnp.array([-1.2, 1.0])
        >>> state = tx.init(w)
        >>> for _ in range(50):
        ...     w, state = step(w, state)
        >>> print(w)
        [1. 1.]
    """
    rate = scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate)
    directions = scale_by_lbfgs(memory_size, scale_init_precond, axis_name=axis_name)
    of_search = getattr(linesearch, "axis_name", axis_name)
    if of_search not in (None, axis_name):
        raise ValueError(f"the linesearch has axis_name={of_search!r}, lbfgs has {axis_name!r}: give both the same")
    if of_search != axis_name:
        linesearch = linesearch.replace(axis_name=axis_name)
    return chain(directions, rate, *([] if linesearch is None else [linesearch]))


def _scaled_pair(
    s: list, y: list, size_s: jax.Array, size_y: jax.Array, width: Any, axis_name: AxisName
) -> tuple[list, list, jax.Array]:
    """The pair scaled so that s'y = 1, and s'y/y'y before scaling; zeros if the curvature is not positive.

    H does not depend on the scale of a pair. With this one no product overflows.
    """
    s = [quotient(x, size_s.astype(x.dtype)) for x in s]
    y = [quotient(x, size_y.astype(x.dtype)) for x in y]
    cosine = inner(s, y, width, axis_name)
    keep = (cosine > float(jnp.finfo(width).eps) ** 0.5) & jnp.isfinite(size_s) & jnp.isfinite(size_y)
    root = safe_sqrt(jnp.where(keep, cosine, 1.0))
    ratio = quotient(safe_sqrt(jnp.where(keep, size_s, 0.0)), safe_sqrt(jnp.where(keep, size_y, 0.0)))
    of_s, of_y = ratio / root, quotient(jnp.ones_like(root), ratio * root)
    s = [jnp.where(keep, of_s.astype(x.dtype) * x, 0.0) for x in s]
    y = [jnp.where(keep, of_y.astype(x.dtype) * x, 0.0) for x in y]
    return s, y, jnp.where(keep, ratio * ratio * cosine, 0.0)


def _at(x: jax.Array, k: jax.Array) -> jax.Array:
    """x[k], for k in range. A slice, not a gather: JAX knows its sharding on an Explicit mesh."""
    return jax.lax.dynamic_index_in_dim(x, k, keepdims=False)


def _row(memory: list, k: jax.Array) -> list:
    return [_at(x, k) for x in memory]


def _plus(xs: list, factor: jax.Array, ys: list) -> list:
    return [x + factor.astype(x.dtype) * y.astype(x.dtype) for x, y in zip(xs, ys, strict=True)]
