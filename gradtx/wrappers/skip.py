"""Steps that are not made: where something is not finite, where a predicate says so, where the gradient is a spike."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.arguments import show
from gradtx.core.closures import Decision
from gradtx.core.errors import non_negative, positive, whole
from gradtx.core.hyper import Count, Hyper
from gradtx.core.leaves import float_dtype
from gradtx.core.norms import AxisName, global_norm, on_all, require_axis_name
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.wrappers.conditional import all_finite, all_finite_as_computed, conditional
from gradtx.wrappers.rules import arity


class SkipState(NamedTuple):
    """Fields: skipped, consecutive, inner."""

    skipped: jax.Array  # updates that were skipped, int32 scalar; 0 at init
    consecutive: jax.Array  # of those, the ones since the last that was not, int32 scalar; 0 at init
    inner: Any  # the inner transformation's state, as the last update that was not skipped left it


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: skipped, since something is not finite"})
def skip_nonfinite(
    inner: Transformation,
    max_consecutive: Count | None = None,
    *,
    check_updates: bool = True,
    axis_name: AxisName = None,
):
    """Make no step where a gradient, or an update that would come of it, is not finite.

    The parameters and the inner state stay as they are, to the bit; nothing of a skipped gradient is left. It
    belongs inside a `dynamic_loss_scale`, which must see what overflows.

    Args:
        inner: the transformation.
        max_consecutive: after this many updates skipped one after another, the next is let through whatever it is, so
            that a fault that stays is seen; at least 0. None skips for ever.
        check_updates: look at the resulting updates too. Under jit the inner transformation then computes them twice,
            but for one that is given functions, as a line search is; without it, a step costs what it costs in optax.
        axis_name: inside `shard_map`, `pmap` or `vmap(axis_name=...)`, the axes over which the updates are split: what
            one device finds, all skip. Without it each decides for itself, and those that skip wait for nobody: where a
            member sums over devices, as a clip with an axis_name does, the others wait for ever.

    State: `SkipState` (skipped, consecutive, inner).
    Raises: ValueError: `max_consecutive` below 0. TypeError: it is no whole number; an axis that is no name.

    Source: optax's `apply_if_finite` looks at the gradients alone.

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
    """Make no step where a predicate says so.

    The parameters and the inner state stay as they are, to the bit.

    Args:
        inner: the transformation.
        predicate: a function of `(updates, params, value)` that returns a bool scalar, True to skip; `params` and
            `value`, the loss, are None where `update` was not given them.
        axis_name: as of `skip_nonfinite`.

    State: `SkipState` (skipped, consecutive, inner).
    Extras: value: whatever the predicate makes of it.
    Raises: TypeError: the predicate is no function of three arguments, or returns something else than a bool scalar.
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
            raise TypeError(f"skip_if: the predicate must return one bool, jnp.any(...) makes one; got {got}")
        return Decision(on_all(~answer, axis_name), lambda: updates, partial(_counted, state))

    return conditional(inner, _start(inner), decide)


class SkipSpikesState(NamedTuple):
    """Fields: norms, count, skipped, inner."""

    norms: jax.Array  # the last finite norms, (window,), float32 or wider; 0 at init
    count: jax.Array  # finite norms seen, int32 scalar; 0 at init
    skipped: jax.Array  # updates that were skipped, int32 scalar; 0 at init
    inner: Any  # the inner transformation's state


@transformation(any_leaves=True, sparse_rows=True, words={"rest": "no step: skipped, since the norm is a spike"})
def skip_spikes(inner: Transformation, k_sigma: Hyper = 6.0, window: int = 128, *, axis_name: AxisName = None):
    """Make no step where the norm of the gradients is far above its recent values, or not finite.

        skip where ‖g‖₂ > mean + k_sigma·σ    (mean and σ of the last `window` norms; σ at least mean/1000)

    Nothing is skipped before `window` norms are seen, except what is not finite. A finite norm counts among the next
    ones also where its step was skipped, so that a level that stays becomes the new usual.

    Args:
        inner: the transformation.
        k_sigma: standard deviations above the mean; greater than 0; infinity switches it off for finite norms.
        window: how many norms are remembered; at least 2.
        axis_name: as of `skip_nonfinite`; the norm is then that of all parts.

    State: `SkipSpikesState` (norms, count, skipped, inner).
    Raises: ValueError: `k_sigma` not above 0, `window` below 2.
    Source: the skip step of levanter and OLMo, there with the loss as well; optax has none.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.skip_spikes(gradtx.sgd(0.1), window=2)
        >>> state = tx.init(jnp.zeros(1))
        >>> for g in (1.0, 1.1, 50.0):
        ...     updates, state = tx.update(jnp.array([g]), state)
        >>> print(updates, state.skipped)
        [-0.] 1
    """
    positive(k_sigma=k_sigma)
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
    except ValueError:  # some builtins do not tell
        return True
    return True


def _start(inner: Any) -> Callable[[Any], SkipState]:
    return lambda params: SkipState(zero_count(), zero_count(), inner.init(params))


def _counted(state: SkipState, ran: jax.Array, inner: Any) -> SkipState:
    """The state after an update: the counts of skipped ones, and the inner state."""
    consecutive = jnp.where(ran, 0, increment(state.consecutive))
    return SkipState(increment(state.skipped, ~ran), consecutive, inner)
