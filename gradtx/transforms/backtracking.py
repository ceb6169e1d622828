"""The line search that shortens a step until the value has decreased enough."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.errors import below_one, finite, non_negative, positive, whole
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import transformation
from gradtx.transforms.line import chosen, line, moved, stored
from gradtx.transforms.norms import AxisName, require_axis_name


class BacktrackingLinesearchInfo(NamedTuple):
    """num_linesearch_steps: int32 scalar, steps that the last search tried. decrease_error: float scalar, by how much
    the step taken misses the decrease; 0 where it has it. failed: bool scalar, whether no step tried had it; the step
    is then that of the lowest value found, or 0."""

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array
    failed: jax.Array


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """count: int32 scalar, updates done. learning_rate: float scalar, the step t that the last search took; 1 at init.
    untried: float scalar; if the last search ran out of tries and took the step 0, the step that it would have tried
    next, else 0. value: float scalar, the value after the last step; 0 at init. grad: like params, float32 or wider,
    the gradient there, 0 at init; None without store_grad. info: `BacktrackingLinesearchInfo` of the last search."""

    count: jax.Array
    learning_rate: jax.Array
    untried: jax.Array
    value: jax.Array
    grad: Exact  # it is handed out as the gradient of the next step
    info: BacktrackingLinesearchInfo


@transformation(any_leaves=True)
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Hyper = 1e-4,
    decrease_factor: Hyper = 0.8,
    increase_factor: Hyper = 1.5,
    max_learning_rate: Hyper = 1.0,
    atol: Hyper = 0.0,
    rtol: Hyper = 0.0,
    store_grad: bool = False,
    *,
    axis_name: AxisName = None,
):
    """Multiply a direction of descent u by the first of ever shorter steps t that decreases the value enough.

        φ(t) = value_fn(w + t·u)
        t = min(increase_factor·t, max_learning_rate)       with the t of the last step, 1 at first
        while φ(t) > φ(0) + slope_rtol·t·φ'(0) + atol + rtol·|φ(0)|:   t = decrease_factor·t

    Values that are not finite count as too large. A search that fails takes the lowest value that it found, or the
    step 0: it never goes up, and never gives NaN. Where it ran out of tries and took the step 0, the next search goes
    on from there: it begins with the step that this one would have tried next. It comes last in a chain. Each step
    tried costs a value; call update under jit. Derivatives of the update take the step as a constant.

    In `update`, by keyword: `value` and `grad` at the parameters, None to have them computed; `value_fn`, a function of
    the parameters. For complex leaves `grad` is what descent subtracts, the conjugate of `jax.grad`'s.

    Args:
        max_backtracking_steps: steps that a search may try; at least 1.
        slope_rtol: the part of the first slope that the decrease must reach; in [0, 1).
        decrease_factor: how much shorter the next step is; in [0, 1).
        increase_factor: how much longer than the last the first step is; greater than 0; infinity for the longest.
        max_learning_rate: the longest step; greater than 0 and finite.
        atol: a rise that is allowed; finite, at least 0; units of the value.
        rtol: the same, as a part of |φ(0)|; finite, at least 0.
        store_grad: compute and keep the gradient after the step, for `value_and_grad_from_state`: a value and a
            gradient more, which the next step then has.
        axis_name: as in `scale_by_zoom_linesearch`.

    State: `ScaleByBacktrackingLinesearchState`: count, int32 scalar; learning_rate, 1 at init, untried, the next step
        of a search that ran out of tries, and value, both 0 at init, float scalars, float32 or as wide as the widest
        parameter; grad, like params, 0 at init, or None; info, what the search met.
    Raises: ValueError: an argument out of range; `value`, `grad` of a wrong shape. TypeError: no real scalar from
        value_fn; an axis that is no name.
    Source: Armijo 1966; Nocedal & Wright 2006, algorithm 3.1; the growth as Vaswani et al. 2019 (arXiv:1905.09997).
        optax's takes the last step that it tried where it fails, has rtol·φ(0), passes other extra arguments on to
        value_fn, and value and grad cannot be None.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, f = gradtx.scale_by_backtracking_linesearch(20, decrease_factor=0.5), lambda w: jnp.sum(w**4)
        >>> w = jnp.array([1.0, 0.0])
        >>> u, state = tx.update(jnp.array([-4.0, 0.0]), tx.init(w), w, value=None, grad=None, value_fn=f)
        >>> print(w + u, state.learning_rate, state.value)
        [0. 0.] 0.25 0.0
    """
    whole(1, max_backtracking_steps=max_backtracking_steps)
    below_one(slope_rtol=slope_rtol, decrease_factor=decrease_factor)
    positive(increase_factor=increase_factor, max_learning_rate=max_learning_rate)
    finite(max_learning_rate=max_learning_rate)
    non_negative(atol=atol, rtol=rtol)
    require_axis_name(axis_name)

    def init(params):
        dtype = float_dtype(params)
        info = BacktrackingLinesearchInfo(zero_count(), jnp.zeros((), dtype), jnp.zeros((), bool))
        grad = zeros(params) if store_grad else None
        zero = jnp.zeros((), dtype)
        return ScaleByBacktrackingLinesearchState(zero_count(), jnp.ones((), dtype), zero, jnp.array(zero), grad, info)

    def update(updates, state, params, *, value, grad, value_fn):
        phi = line(updates, params, value, grad, value_fn, axis_name)
        zero, start, slope = phi.start

        def fixed(x):
            return jax.lax.stop_gradient(jnp.asarray(x).astype(phi.dtype))

        part, shorter, longest = fixed(slope_rtol), fixed(decrease_factor), fixed(max_learning_rate)
        allowed = fixed(atol) + fixed(rtol) * jnp.abs(start)

        def miss(t, value):
            return jnp.maximum(value - start - part * t * slope - allowed, 0.0)

        def body(search):
            count, t, best, _ = search
            value = phi.value(t)
            enough = jnp.isfinite(value) & (miss(t, value) == 0)
            best = chosen(enough | (jnp.isfinite(value) & (value < best[1])), (t, value), best)
            return count + 1, t * shorter, best, enough

        def goes_on(search):
            count, _, _, enough = search
            return ~enough & (count < max_backtracking_steps)

        downhill = (slope < 0) & jnp.isfinite(slope) & jnp.isfinite(start)
        last, untried = fixed(state.learning_rate), fixed(state.untried)
        guess = jnp.where(last > 0, last * fixed(increase_factor), jnp.where(untried > 0, untried, longest))
        first = (zero_count(), jnp.minimum(guess, longest), (zero, start), ~downhill)
        count, untried, (t, value), enough = jax.lax.while_loop(goes_on, body, first)
        failed = ~jnp.where(downhill, enough, slope == 0)
        dtype = float_dtype(state.learning_rate)
        untried = jnp.where((t == 0) & downhill, untried, 0.0)
        info = BacktrackingLinesearchInfo(count, miss(t, value).astype(dtype), failed)
        grads = stored(state.grad, params, phi.tree(chosen(t == 0, phi.grad, phi.at(t)[1]))) if store_grad else None
        return moved(updates, t), ScaleByBacktrackingLinesearchState(
            increment(state.count),
            t.astype(dtype),
            untried.astype(dtype),
            value.astype(dtype),
            grads,
            info,
        )

    return init, update
