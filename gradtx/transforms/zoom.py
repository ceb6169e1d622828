"""The line search that brackets a minimum and zooms in on it, until the strong Wolfe conditions hold."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.errors import at_least_one, below_one, concrete, non_negative, one_of, positive, whole
from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import Exact
from gradtx.core.transformation import transformation
from gradtx.transforms.line import Line, Point, chosen, line, moved, stored
from gradtx.transforms.norms import AxisName, require_axis_name


class ZoomLinesearchInfo(NamedTuple):
    """num_linesearch_steps: int32 scalar, points of the line that the last search tried. decrease_error,
    curvature_error: float scalars, by how much the step taken misses the two Wolfe conditions; 0 where it keeps them.
    failed: bool scalar, whether it misses one; the step is then that of the lowest value found, or 0."""

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array
    curvature_error: jax.Array
    failed: jax.Array


class ScaleByZoomLinesearchState(NamedTuple):
    """count: int32 scalar, updates done. learning_rate: float scalar, the step t that the last search took; 1 at init.
    value: float scalar, the value after that step; 0 at init. grad: like params, float32 or wider, the gradient there;
    0 at init. info: `ZoomLinesearchInfo` of the last search."""

    count: jax.Array
    learning_rate: jax.Array
    value: jax.Array
    grad: Exact  # it is handed out as the gradient of the next step
    info: ZoomLinesearchInfo


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
    """Multiply a direction of descent u by a step t that keeps the strong Wolfe conditions.

        φ(t) = value_fn(w + t·u)
        φ(t) <= φ(0) + slope_rtol·t·φ'(0)                                                           (decrease)
        or |φ(t) - φ(0)| <= approx_dec_rtol·|φ(0)| and φ'(t) <= (2·slope_rtol - 1)·φ'(0)
        |φ'(t)| <= curv_rtol·|φ'(0)|                                                                (curvature)

    Steps grow until they bracket such a t, which is then closed in on by cubic, else quadratic interpolation, else by
    halves; by the slopes alone where values are as close as that. Values or slopes that are not finite count as too
    far. A search that fails takes the lowest value that it found, or the step 0: it never goes up, and never gives NaN.
    It comes last in a chain. Each point tried costs a value and a gradient; call update under jit. Derivatives of the
    update take the step as a constant.

    In `update`, by keyword: `value` and `grad` at the parameters, None to have them computed; `value_fn`, a function of
    the parameters. For complex leaves `grad` is what descent subtracts, the conjugate of `jax.grad`'s.

    Args:
        max_linesearch_steps: points that a search may try; at least 1.
        max_learning_rate: the longest step; greater than 0; None for no bound. There the curvature may be missed.
        tol: by how much the conditions may be missed; finite, at least 0; units of the value.
        increase_factor: growth of the step before there is a bracket; finite, above 1.
        slope_rtol: the part of the first slope that the decrease must reach; in [0, 1), not above curv_rtol.
        curv_rtol: the part of the first slope that may be left; in [0, 1), or infinity for any slope.
        approx_dec_rtol: how close values are that rounding may order; finite, at least 0; 1e-6 suits float32 too.
        stepsize_precision: a bracket shorter than this part of its longer end is not searched; finite, at least 0.
        initial_guess_strategy: begin with the last step ("keep"; with 1 after a step 0) or with 1 ("one").
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which every leaf is split. Slopes
            are then those of all parts, and all devices take the same step. value_fn, of the device's own part of the
            parameters, must return the whole value, the same on all devices, as one that ends in `jax.lax.psum` does,
            and `value` must be that; `grad` is its derivative by the device's part. Take both from
            `value_and_grad_from_state(value_fn, axis_name=...)`, or give None: with check_vma=False (and in `pmap`,
            `vmap`) `jax.grad` of such a function is as many times too large as there are devices.

    State: `ScaleByZoomLinesearchState`: count, int32 scalar; learning_rate, 1 at init, and value, 0 at init, float
        scalars, float32 or as wide as the widest parameter; grad, like params, 0 at init; info, what the search met.
    Raises: ValueError: an argument out of range; `value`, `grad` of a wrong shape. TypeError: no real scalar from
        value_fn; an axis that is no name.
    Source: Nocedal & Wright 2006, algorithms 3.5 and 3.6, equation 3.59; Hager & Zhang 2005 (doi:10.1137/030601880),
        equation 4.1, for the approximate decrease, which theirs and optax's also have for any lower φ(t). optax's
        stepsize_precision is a length, its approx_dec_rtol None is 0 here, it passes other extra arguments on to
        value_fn, and its value and grad cannot be None.

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
    at_least_one(increase_factor=increase_factor)
    if concrete(increase_factor) == 1.0:
        raise ValueError("increase_factor must be above 1: the step would never grow; got 1.0")
    below_one(slope_rtol=slope_rtol)
    if concrete(curv_rtol) != jnp.inf:
        below_one(curv_rtol=curv_rtol)
    decrease, curvature = concrete(slope_rtol), concrete(curv_rtol)
    if decrease is not None and curvature is not None and decrease > curvature:
        raise ValueError(f"slope_rtol must not be above curv_rtol: no step may keep both; got {decrease}, {curvature}")
    require_axis_name(axis_name)
    one_of(("keep", "one"), initial_guess_strategy=initial_guess_strategy)
    longest = jnp.inf if max_learning_rate is None else max_learning_rate

    def init(params):
        dtype = float_dtype(params)
        info = ZoomLinesearchInfo(zero_count(), jnp.zeros((), dtype), jnp.zeros((), dtype), jnp.zeros((), bool))
        return ScaleByZoomLinesearchState(zero_count(), jnp.ones((), dtype), jnp.zeros((), dtype), zeros(params), info)

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
            increment(state.count), t.astype(dtype), value.astype(dtype), grad, info
        )

    return init, update


class _Rules(NamedTuple):
    """The hyperparameters, in the type of the line."""

    tol: jax.Array
    increase_factor: jax.Array
    slope_rtol: jax.Array
    curv_rtol: jax.Array
    approx_dec_rtol: jax.Array
    stepsize_precision: jax.Array
    longest: jax.Array


class _Search(NamedTuple):
    """count: points tried. t: the next one. lo: the end of the bracket with enough decrease. hi: its other end, at
    infinity before there is one. best, grad: the point to take. kept: it keeps the conditions. done: stop."""

    count: jax.Array
    t: jax.Array
    lo: Point
    hi: Point
    best: Point
    grad: list
    kept: jax.Array
    done: jax.Array


def _search(phi: Line, rules: _Rules, guess: jax.Array, most: int) -> _Search:
    """Algorithms 3.5 and 3.6 as one loop: before there is a bracket, its far end stands at infinity."""
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
        # Within the slack the order of values is rounding; there the sign of the slope says on which side to go on.
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
    """By how much a point misses the decrease, plain or approximate, and the curvature; NaN where it has no value."""
    plain = here.value - start.value - rules.slope_rtol * here.t * start.slope
    close = jnp.abs(here.value - start.value) - rules.approx_dec_rtol * jnp.abs(start.value)
    approximate = jnp.maximum(close, here.slope - (2 * rules.slope_rtol - 1) * start.slope)
    allowed = jnp.where(start.slope == 0, 0.0, rules.curv_rtol * jnp.abs(start.slope))  # not infinity times zero
    curvature = jnp.abs(here.slope) - allowed
    return jnp.maximum(jnp.minimum(plain, approximate), 0.0), jnp.maximum(curvature, 0.0)


def _between(lo: Point, hi: Point, slack: jax.Array) -> jax.Array:
    """A step inside the bracket: the minimum of the cubic through both ends, else of the parabola, else the middle.

    Where rounding orders the two values, it is the zero of the line through the slopes, which have more digits.
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
    return lo.t + jnp.clip(part, 0.1, 0.9) * width  # never so near an end that the bracket stays as it is


def _inside(part: jax.Array) -> jax.Array:
    return (part > 0) & (part < 1)
