"""A line search that shortens the step until the value has decreased enough."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative, positive, whole
from gradtx.transforms.line import chosen, line, moved, stored
from gradtx.transforms.split import AxisName, require_axis_name


class BacktrackingLinesearchInfo(NamedTuple):
    """What the last backtracking search did; scalars."""

    num_linesearch_steps: jax.Array  # steps that it tried; int32; 0 at init
    decrease_error: jax.Array  # by how much its step misses the required decrease; float; 0 at init
    failed: (
        jax.Array
    )  # no step had the required decrease: it took the step of the lowest value, or 0; bool; False at init


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """The state of `scale_by_backtracking_linesearch`; floats are float32 or wider."""

    learning_rate: jax.Array  # the step t of the last search; float scalar; 1 at init
    value: jax.Array  # the value after the last step; float scalar; infinity at init, as there is none yet
    grad: Exact  # the gradient there, which the next step gets; like params, 0 at init; None without store_grad
    info: BacktrackingLinesearchInfo  # what the last search did
    count: jax.Array  # updates so far; int32 scalar; 0 at init
    untried: jax.Array  # the next step to try, if the last search ran out of tries and took 0, else 0; float scalar


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
    """Multiply a direction of descent u by a step t, shortened until the value decreases enough.

        φ(t) = value_fn(w + t·u)
        t = min(increase_factor·t, max_learning_rate)       from the t of the last search, at first 1
        while φ(t) > φ(0) + slope_rtol·t·φ'(0) + atol + rtol·|φ(0)|:   t = decrease_factor·t

    Values that are not finite count as too large. A search that fails takes the step with the lowest value that it
    found, or the step 0: the value never increases, and the updates are never NaN. If it ran out of tries and took the
    step 0, the next search starts with the step that this one would have tried next. It must be the last member of a
    chain. Each try computes a value. Call update under jit. For derivatives of the update the step is a constant.

    `update` needs keyword arguments: `value` and `grad` at the parameters, or None to compute them; `value_fn`, a
    function of the parameters. For complex leaves `grad` is the conjugate of `jax.grad`'s, which descent subtracts.

    Args:
        max_backtracking_steps: how many steps a search may try; at least 1.
        slope_rtol: the decrease must be at least this share of what the first slope predicts; in [0, 1).
        decrease_factor: the ratio of a step to the one tried before; in [0, 1).
        increase_factor: the ratio of the first step to that of the last search; greater than 0; infinity for
            max_learning_rate.
        max_learning_rate: the longest step; finite, at least 0.
        atol: an increase that is allowed; finite, at least 0; in the units of the value.
        rtol: the same, relative to |φ(0)|; finite, at least 0.
        store_grad: compute the gradient after the step and keep it for `value_and_grad_from_state`. It costs a value
            and a gradient, which the next step then need not compute.
        axis_name: as in `scale_by_zoom_linesearch`.

    State: `ScaleByBacktrackingLinesearchState`: learning_rate, 1 at init, value, infinity at init, and untried, 0 at
        init, float scalars, float32 or as wide as the widest parameter; grad, like params, 0 at init, or None; info;
        count, int32 scalar.
    Raises: ValueError: an argument is out of range; `value` or `grad` has a wrong shape. TypeError: value_fn does not
        return a real scalar; axis_name is not a name.
    Source: Armijo 1966; Nocedal & Wright 2006, algorithm 3.1; the increase as in Vaswani et al. 2019
        (arXiv:1905.09997). Differences from optax: it takes the last step that it tried if it fails, has rtol·φ(0),
        passes other extra arguments to value_fn, and does not accept None for value and grad.

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
    positive(increase_factor=increase_factor)
    non_negative(max_learning_rate=max_learning_rate, atol=atol, rtol=rtol)
    require_axis_name(axis_name)

    def init(params):
        dtype = float_dtype(params)
        info = BacktrackingLinesearchInfo(zero_count(), jnp.zeros((), dtype), jnp.zeros((), bool))
        grad = zeros(params) if store_grad else None
        return ScaleByBacktrackingLinesearchState(
            jnp.ones((), dtype), jnp.full((), jnp.inf, dtype), grad, info, zero_count(), jnp.zeros((), dtype)
        )

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
            t.astype(dtype), value.astype(dtype), grads, info, increment(state.count), untried.astype(dtype)
        )

    return init, update
