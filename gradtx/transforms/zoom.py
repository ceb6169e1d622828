"""A line search that brackets a minimum and zooms in on it until the strong Wolfe conditions hold."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import transformation
from gradtx.errors import below_one, non_negative, one_of, ordered, positive, range_check, whole
from gradtx.transforms.line import Line, Point, chosen, line, moved, stored
from gradtx.transforms.split import AxisName, require_axis_name


class ZoomLinesearchInfo(NamedTuple):
    """What the last zoom search did; scalars."""

    num_linesearch_steps: jax.Array  # steps that it tried; int32; 0 at init
    decrease_error: jax.Array  # by how much its step misses the decrease condition; float; 0 at init
    curvature_error: jax.Array  # by how much its step misses the curvature condition; float; 0 at init
    failed: jax.Array  # no step met both conditions: it took the step of the lowest value, or 0; bool; False at init


class ScaleByZoomLinesearchState(NamedTuple):
    """The state of `scale_by_zoom_linesearch`; floats are float32 or wider."""

    learning_rate: jax.Array  # the step t of the last search; float scalar; 1 at init
    value: jax.Array  # the value after that step; float scalar; infinity at init, as there is none yet
    grad: Exact  # the gradient there, which the next step gets; like params; 0 at init
    info: ZoomLinesearchInfo  # what the last search did
    count: jax.Array  # updates so far; int32 scalar; 0 at init


_growing = range_check("greater than 1 and finite", lambda x: (x > 1.0) & (x < jnp.inf))
_below_one_or_infinite = range_check("in [0, 1), or infinity", lambda x: (x >= 0.0) & ((x < 1.0) | (x == jnp.inf)))


@transformation(any_leaves=True)
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Hyper | None = None,
    tol: Hyper = 0.0,
    increase_factor: Hyper = 2.0,
    slope_rtol: Hyper = 1e-4,
    curv_rtol: Hyper = 0.9,
    approx_dec_rtol: Hyper = 1e-6,
    stepsize_precision: Hyper = 1e-5,
    initial_guess_strategy: str = "keep",
    *,
    axis_name: AxisName = None,
):
    """Multiply a direction of descent u by a step t that meets the strong Wolfe conditions.

        φ(t) = value_fn(w + t·u)
        φ(t) <= φ(0) + slope_rtol·t·φ'(0)                                                           (decrease)
        or |φ(t) - φ(0)| <= approx_dec_rtol·|φ(0)| and φ'(t) <= (2·slope_rtol - 1)·φ'(0)
        |φ'(t)| <= curv_rtol·|φ'(0)|                                                                (curvature)

    The step grows until a minimum is bracketed. The bracket is then reduced by cubic interpolation, or quadratic, or
    halves; by the slopes alone if the values are so close that only rounding orders them. Values or slopes that are not
    finite count as too far. A search that fails takes the step with the lowest value that it found, or the step 0: the
    value never increases, and the updates are never NaN. It must be the last member of a chain. Each try computes a
    value and a gradient. Call update under jit. For derivatives of the update the step is a constant.

    `update` needs keyword arguments: `value` and `grad` at the parameters, or None to compute them; `value_fn`, a
    function of the parameters. For complex leaves `grad` is the conjugate of `jax.grad`'s, which descent subtracts.

    Args:
        max_linesearch_steps: how many steps a search may try; at least 1.
        max_learning_rate: the longest step, which need not meet the curvature condition; greater than 0; None for no
            bound.
        tol: by how much the conditions may be missed; finite, at least 0; in the units of the value.
        increase_factor: the growth of the step before there is a bracket; finite, greater than 1.
        slope_rtol: the decrease must be at least this share of what the first slope predicts; in [0, 1), at most
            curv_rtol.
        curv_rtol: the slope must be at most this share of the first slope; in [0, 1), or infinity for any slope.
        approx_dec_rtol: values that differ by less, relative to |φ(0)|, may be ordered by rounding alone; finite, at
            least 0; 1e-6 suits float32 too.
        stepsize_precision: the search ends when the bracket is shorter than this share of its longer end; finite, at
            least 0.
        initial_guess_strategy: "keep" starts from the step of the last search, or from 1 if it was 0; "one" from 1.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split. Slopes
            are then those of all parts, and all devices take the same step. value_fn gets the device's own part of the
            parameters and must return the whole value, the same on all devices; a function that ends in `jax.lax.psum`
            does. `value` must be that value, and `grad` its derivative by the device's part. Take both from
            `value_and_grad_from_state(value_fn, axis_name=...)`, or give None. `jax.grad` of such a function is too
            large by the number of devices with check_vma=False, and in `pmap` and `vmap`.

    State: `ScaleByZoomLinesearchState`: learning_rate, 1 at init, and value, infinity at init, float scalars, float32
        or as wide as the widest parameter; grad, like params, 0 at init; info; count, int32 scalar.
    Raises: ValueError: an argument is out of range; `value` or `grad` has a wrong shape. TypeError: value_fn does not
        return a real scalar; axis_name is not a name.
    Source: Nocedal & Wright 2006, algorithms 3.5 and 3.6, equation 3.59; Hager & Zhang 2005 (doi:10.1137/030601880),
        equation 4.1, for the approximate decrease, which they and optax also accept for any lower φ(t). Differences
        from optax: its stepsize_precision is a length, its approx_dec_rtol=None is 0 here, it passes other extra
        arguments to value_fn, and it does not accept None for value and grad.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, f = gradtx.scale_by_zoom_linesearch(20), lambda w: jnp.sum((w - 3.0) ** 2)
        >>> w = jnp.array([1.0, 3.0])
        >>> u, state = tx.update(jnp.array([8.0, 0.0]), tx.init(w), w, value=None, grad=None, value_fn=f)
        >>> print(w + u, state.info.failed)
        [3. 3.] False
    """
    whole(1, max_linesearch_steps=max_linesearch_steps)
    positive(max_learning_rate=max_learning_rate)
    non_negative(tol=tol, approx_dec_rtol=approx_dec_rtol, stepsize_precision=stepsize_precision)
    _growing(increase_factor=increase_factor)
    below_one(slope_rtol=slope_rtol)
    _below_one_or_infinite(curv_rtol=curv_rtol)
    ordered(slope_rtol=slope_rtol, curv_rtol=curv_rtol)  # or no step may meet both
    require_axis_name(axis_name)
    one_of(("keep", "one"), initial_guess_strategy=initial_guess_strategy)
    longest = jnp.inf if max_learning_rate is None else max_learning_rate

    def init(params):
        dtype = float_dtype(params)
        info = ZoomLinesearchInfo(zero_count(), jnp.zeros((), dtype), jnp.zeros((), dtype), jnp.zeros((), bool))
        value = jnp.full((), jnp.inf, dtype)
        return ScaleByZoomLinesearchState(jnp.ones((), dtype), value, zeros(params), info, zero_count())

    def update(updates, state, params, *, value, grad, value_fn):
        phi = line(updates, params, value, grad, value_fn, axis_name)
        numbers = (tol, increase_factor, slope_rtol, curv_rtol, approx_dec_rtol, stepsize_precision, longest)
        rules = _Rules(*(jax.lax.stop_gradient(jnp.asarray(x).astype(phi.dtype)) for x in numbers))
        last = jax.lax.stop_gradient(jnp.asarray(state.learning_rate).astype(phi.dtype))
        guess = jnp.where(last > 0, last, 1.0) if initial_guess_strategy == "keep" else jnp.ones_like(last)
        end = _search(phi, rules, jnp.minimum(guess, rules.longest), max_linesearch_steps)
        decrease, curvature = _errors(end.best, phi.start, rules)
        failed = ~(end.kept | (phi.start.slope == 0))
        dtype = float_dtype(state.learning_rate)
        info = ZoomLinesearchInfo(end.count, decrease.astype(dtype), curvature.astype(dtype), failed)
        t, value, _ = end.best
        grad = stored(state.grad, params, phi.tree(end.grad))
        return moved(updates, t), ScaleByZoomLinesearchState(
            t.astype(dtype), value.astype(dtype), grad, info, increment(state.count)
        )

    return init, update


class _Rules(NamedTuple):
    """The hyperparameters, in the dtype of the line."""

    tol: jax.Array
    increase_factor: jax.Array
    slope_rtol: jax.Array
    curv_rtol: jax.Array
    approx_dec_rtol: jax.Array
    stepsize_precision: jax.Array
    longest: jax.Array


class _Search(NamedTuple):
    """count: steps tried. t: the next one. lo: the end of the bracket with enough decrease. hi: its other end, infinity
    before there is a bracket. best, grad: the point to take. kept: it meets the conditions. done: stop."""

    count: jax.Array
    t: jax.Array
    lo: Point
    hi: Point
    best: Point
    grad: list
    kept: jax.Array
    done: jax.Array


def _search(phi: Line, rules: _Rules, guess: jax.Array, most: int) -> _Search:
    """Algorithms 3.5 and 3.6 as one loop: before there is a bracket, its far end is infinity."""
    start = phi.start
    slack = rules.approx_dec_rtol * jnp.abs(start.value)
    nothing = Point(jnp.full_like(guess, jnp.inf), start.value, start.slope)
    downhill = (start.slope < 0) & jnp.isfinite(start.slope) & jnp.isfinite(start.value)
    no = jnp.zeros((), bool)

    def body(s: _Search) -> _Search:
        here, grad = phi.at(s.t)
        finite = jnp.isfinite(here.value) & jnp.isfinite(here.slope)
        decrease, curvature = _errors(here, start, rules)
        enough = finite & (decrease <= rules.tol)
        # Within the slack only rounding orders the values. There the sign of the slope says on which side to go on.
        far = ~enough | (here.value > s.lo.value + slack)
        turned = jnp.where(s.hi.t > s.lo.t, here.slope >= 0, here.slope <= 0)
        lo, hi = chosen(far, s.lo, here), chosen(far, here, chosen(turned, s.lo, s.hi))
        bracket = jnp.isfinite(hi.t)
        kept = enough & ((curvature <= rules.tol) | (~bracket & (here.t >= rules.longest)))
        best, grad = chosen(kept | (finite & (here.value < s.best.value)), (here, grad), (s.best, s.grad))
        t = jnp.where(bracket, _between(lo, hi, slack), jnp.minimum(here.t * rules.increase_factor, rules.longest))
        narrow = bracket & (jnp.abs(hi.t - lo.t) <= rules.stepsize_precision * jnp.maximum(hi.t, lo.t))
        return _Search(s.count + 1, t, lo, hi, best, grad, kept, kept | narrow)

    first = _Search(zero_count(), guess, start, nothing, start, phi.grad, no, ~downhill)
    return jax.lax.while_loop(lambda s: ~s.done & (s.count < most), body, first)


def _errors(here: Point, start: Point, rules: _Rules) -> tuple[jax.Array, jax.Array]:
    """By how much a point misses the decrease, plain or approximate, and the curvature; NaN if it has no value."""
    plain = here.value - start.value - rules.slope_rtol * here.t * start.slope
    close = jnp.abs(here.value - start.value) - rules.approx_dec_rtol * jnp.abs(start.value)
    approximate = jnp.maximum(close, here.slope - (2 * rules.slope_rtol - 1) * start.slope)
    allowed = jnp.where(start.slope == 0, 0.0, rules.curv_rtol * jnp.abs(start.slope))  # not infinity times zero
    curvature = jnp.abs(here.slope) - allowed
    return jnp.maximum(jnp.minimum(plain, approximate), 0.0), jnp.maximum(curvature, 0.0)


def _between(lo: Point, hi: Point, slack: jax.Array) -> jax.Array:
    """A step inside the bracket: the minimum of the cubic through both ends, else of the parabola, else the middle.

    If only rounding orders the two values, it is the zero of the line through the slopes, which have more digits.
    """
    width = hi.t - lo.t
    d1 = lo.slope + hi.slope - 3 * (hi.value - lo.value) / width
    square = d1 * d1 - lo.slope * hi.slope
    d2 = jnp.sign(width) * jnp.sqrt(jnp.maximum(square, 0.0))
    cubic = 1 - (hi.slope + d2 - d1) / (hi.slope - lo.slope + 2 * d2)
    parabola = -lo.slope * width / (2 * (hi.value - lo.value - lo.slope * width))
    part = jnp.where(_inside(parabola), parabola, 0.5)
    part = jnp.where(_inside(cubic) & (square >= 0), cubic, part)
    secant = lo.slope / (lo.slope - hi.slope)
    part = jnp.where(_inside(secant) & (jnp.abs(hi.value - lo.value) <= slack), secant, part)
    return lo.t + jnp.clip(part, 0.1, 0.9) * width  # far enough from the ends that the bracket becomes shorter


def _inside(part: jax.Array) -> jax.Array:
    return (part > 0) & (part < 1)
