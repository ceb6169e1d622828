"""Wrappers that skip steps: on non-finite numbers, on the word of a predicate, on a spike of the gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import float_dtype
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import non_negative, not_below_zero, whole
from gradtx.transforms.norms import global_norm
from gradtx.transforms.split import AxisName, on_all, require_axis_name
from gradtx.values.arguments import show
from gradtx.wrappers.conditional import Decision, all_finite, all_finite_as_computed, conditional
from gradtx.wrappers.rules import arity


class SkipState(NamedTuple):
    """The state of `skip_nonfinite` and of `skip_if`.

    skipped: updates that were skipped, int32 scalar; 0 at init.
    consecutive: updates skipped since the last one that was not, int32 scalar; 0 at init.
    inner: the inner transformation's state. A skipped update leaves it unchanged.
    """

    skipped: jax.Array
    consecutive: jax.Array
    inner: Any


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: skipped, since something is not finite"})
def skip_nonfinite(
    inner: Transformation,
    max_consecutive: Count | None = None,
    *,
    check_updates: bool = True,
    axis_name: AxisName = None,
):
    """Skip the step where a gradient, or an update computed from it, is not finite.

    Parameters and inner state then stay unchanged, to the bit; no trace of the gradient is left. Put this inside
    `dynamic_loss_scale`, which must see overflows.

    Args:
        inner: the transformation.
        max_consecutive: after this many skips in a row the next update is applied even if it is not finite, so that a
            lasting fault becomes visible; a whole number, at least 0. With 0 nothing is ever skipped; None skips
            without end.
        check_updates: also look at the updates of `inner`. Under jit they are then computed twice, unless `update` is
            given functions, as for a line search. With False a step costs the same as in optax.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the gradients are split: all
            devices skip what one of them finds. Without it each device decides alone; if a member inside sums over
            devices (a clip with an axis_name), devices that do not skip would wait forever for those that do.

    State: `SkipState`.
    Raises: ValueError: `max_consecutive` is below 0. TypeError: it is not a whole number, or `axis_name` is not a name.
    Source: optax's `apply_if_finite`, which looks at the gradients only.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.skip_nonfinite(gradtx.sgd(0.1))
        >>> updates, state = tx.update(jnp.array([1.0, jnp.nan]), tx.init(jnp.zeros(2)))
        >>> print(updates, state.skipped)
        [-0. -0.] 1
    """
    non_negative(max_consecutive=max_consecutive)
    require_axis_name(axis_name)

    def decide(updates, state, params=None, **extra):
        through = jnp.asarray(False)
        if max_consecutive is not None:
            through = state.consecutive >= max_consecutive

        def accepts(new):
            return on_all(all_finite_as_computed(new), axis_name) | through

        fine = on_all(all_finite(updates), axis_name) | through
        return Decision(fine, lambda: updates, partial(_counted, state), accepts if check_updates else None)

    return conditional(inner, _start(inner), decide)


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: skipped"})
def skip_if(inner: Transformation, predicate: Callable[[Any, Any, Any], Any], *, axis_name: AxisName = None):
    """Skip the step where a predicate says so.

    Parameters and inner state then stay unchanged, to the bit.

    Args:
        inner: the transformation.
        predicate: a function of `(updates, params, value)` that returns a bool scalar, True to skip. `params`, and
            `value` (the loss), are None if `update` was not given them.
        axis_name: as in `skip_nonfinite`.

    State: `SkipState`.
    Extras: value: for the predicate; it is passed on to `inner` too.
    Raises: TypeError: the predicate does not take three arguments, or returns something else than a bool scalar.
    Source: the `should_skip_update_fn` of optax's `MultiSteps`, without the accumulation.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.skip_if(gradtx.sgd(0.1), lambda updates, params, value: value > 10.0)
        >>> updates, state = tx.update(jnp.ones(2), tx.init(jnp.zeros(2)), value=50.0)
        >>> print(updates, state.skipped)
        [-0. -0.] 1
    """
    if not callable(predicate) or not _takes(predicate, 3):
        takes = f", which takes {arity(predicate)} arguments" if callable(predicate) else ""
        raise TypeError(f"predicate must be a function of (updates, params, value); got {show(predicate)}{takes}")
    require_axis_name(axis_name)

    def decide(updates, state, params=None, *, value=None, **extra):
        answer = jnp.asarray(predicate(updates, params, value))
        if answer.shape != () or answer.dtype != jnp.bool_:
            got = f"shape {answer.shape}, {answer.dtype}"
            raise TypeError(f"skip_if: the predicate must return one bool, as jnp.any(...) does; got {got}")
        return Decision(on_all(~answer, axis_name), lambda: updates, partial(_counted, state))

    return conditional(inner, _start(inner), decide)


class SkipSpikesState(NamedTuple):
    """The state of `skip_spikes`.

    norms: the last finite norms, shape (window,), float32 or wider; 0 at init.
    count: finite norms seen so far, int32 scalar; 0 at init.
    skipped: updates that were skipped, int32 scalar; 0 at init.
    inner: the inner transformation's state. A skipped update leaves it unchanged.
    """

    norms: jax.Array
    count: jax.Array
    skipped: jax.Array
    inner: Any


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: skipped, since the norm is a spike"})
def skip_spikes(inner: Transformation, k_sigma: Hyper = 6.0, window: int = 128, *, axis_name: AxisName = None):
    """Skip the step where the norm of the gradients is far above its recent values, or not finite.

        skip where ‖g‖₂ > mean + k_sigma·σ    (mean and σ of the last `window` norms; σ at least mean/1000)

    Until `window` norms have been seen, only non-finite gradients are skipped. A finite norm is remembered even if its
    step is skipped: a level that lasts is soon no spike any more.

    Args:
        inner: the transformation.
        k_sigma: standard deviations above the mean; at least 0. With infinity no finite norm is skipped.
        window: the number of norms to remember; a whole number, at least 2.
        axis_name: as in `skip_nonfinite`; the norm is then that of all parts.

    State: `SkipSpikesState`.
    Raises: ValueError: `k_sigma` is below 0, or `window` is below 2.
    Source: the skip step of levanter and OLMo, which also look at the loss. Not in optax.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.skip_spikes(gradtx.sgd(0.1), window=2)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (1.0, 1.1, 50.0):
        ...     updates, state = tx.update(jnp.array([g]), state)
        >>> print(updates, state.skipped)
        [-0.] 1
    """
    not_below_zero(k_sigma=k_sigma)
    whole(2, window=window)
    require_axis_name(axis_name)

    def init(params):
        norms = jnp.zeros((window,), float_dtype(params))
        return SkipSpikesState(norms, zero_count(), zero_count(), inner.init(params))

    def decide(updates, state, params=None, **extra):
        norms = jnp.asarray(state.norms)
        norm = global_norm(updates, axis_name).astype(norms.dtype)
        mean = jnp.sum(norms / window)
        sigma = jnp.maximum(global_norm(norms - mean) / jnp.sqrt(float(window)).astype(norms.dtype), mean / 1000)
        spike = (state.count >= window) & (norm > mean + jnp.asarray(k_sigma, norms.dtype) * sigma)
        counts = jnp.isfinite(norm)

        def advance(ran, inner_state):
            new = jnp.where(counts, norms.at[state.count % window].set(norm), norms)
            return SkipSpikesState(new, increment(state.count, counts), increment(state.skipped, ~ran), inner_state)

        return Decision(~spike & counts, lambda: updates, advance)

    return conditional(inner, init, decide)


def _takes(function: Callable, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        return True
    return True


def _start(inner: Any) -> Callable[[Any], SkipState]:
    return lambda params: SkipState(zero_count(), zero_count(), inner.init(params))


def _counted(state: SkipState, ran: jax.Array, inner: Any) -> SkipState:
    """The state after an update."""
    consecutive = jnp.where(ran, 0, increment(state.consecutive))
    return SkipState(increment(state.skipped, ~ran), consecutive, inner)
