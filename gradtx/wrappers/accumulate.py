"""One step of an optimizer from several gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.closures import Decision
from gradtx.core.errors import at_least_one, describe, one_of
from gradtx.core.hyper import Steps
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.schedule import at_step, is_schedule
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.wrappers.conditional import conditional


class AccumulateState(NamedTuple):
    """Fields: mini_step, step, accumulated, inner."""

    mini_step: jax.Array  # gradients since the last step, int32 scalar; 0 at init and after a step
    step: jax.Array  # steps of the inner transformation, int32 scalar; 0 at init
    accumulated: Exact  # sum of those gradients, like params, float32 or wider; after a step it is the last sum
    inner: Any  # the inner transformation's state


@transformation(
    any_leaves=True,
    words={"rest": "no step yet: the gradient was added to those collected", "in": "the collected gradients as one"},
)
def accumulate(inner: Transformation, steps: Steps, *, reduction: str = "mean"):
    """Collect the gradients of several updates, and let a transformation see their mean.

        a ← a + g at each update; at every k-th: u = inner(a/k), a ← 0; at all others: u = 0

    In a batch that is cut in k equal parts, the mean of the k gradients is the batch's own: equal to the last bit where
    the sums are exact, to k·6e-8 of the largest part otherwise, which is 1e-6 for 16 parts. The inner transformation
    runs at the k-th update only, with that update's extra arguments: `value` and `grad_fn` are those of the last part
    alone, so `sam` belongs outside. Its schedules count its own steps. In between the parameters stay as they are, to
    the bit.

    `update(..., flush=True)` with the last part of an epoch makes the step with what there is: the mean is that of the
    gradients that came, this one among them.

    To leave a non-finite part out, wrap this in `skip_nonfinite`: what it skips does not count among the k, and a
    flush that comes with it is skipped too. The other way round, `accumulate(skip_nonfinite(tx), k)` leaves out the
    whole step, also where a sum or an update overflows, which from outside would be met again at every update. Both
    together: `skip_nonfinite(accumulate(skip_nonfinite(tx), k), check_updates=False)`.

    Args:
        inner: the transformation.
        steps: gradients for one step, k; a whole number, at least 1, or a schedule of such by the steps made so far.
        reduction: "mean", or "sum".

    State: `AccumulateState` (mini_step, step, accumulated, inner).
    Extras: flush: bool or bool scalar, False unless given.
    Raises: ValueError: `steps` below 1, another reduction. TypeError: `steps` is no whole number.

    Source: optax's `MultiSteps` runs the inner transformation at every update and multiplies by zero: one NaN
        stays for ever. torch and Keras add gradients up and leave the division to the user, or to Keras.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.accumulate(gradtx.sgd(1.0), steps=2)
        >>> params = jnp.zeros(2)
        >>> first, state = tx.update(jnp.array([1.0, 0.0]), tx.init(params))
        >>> second, state = tx.update(jnp.array([3.0, 1.0]), state)
        >>> print(first, second)
        [-0. -0.] [-2.  -0.5]
    """
    at_least_one(steps=steps)
    one_of(("mean", "sum"), reduction=reduction)

    def init(params):
        return AccumulateState(zero_count(), zero_count(), zeros(params), inner.init(params))

    def decide(updates, state, params=None, *, flush=False, **extra):
        begins, mini_step = state.mini_step == 0, increment(state.mini_step)
        # Restarted by a select, not by a product: a NaN that the last step saw is gone.
        _, total = map_leaves(
            lambda g, accumulated: (g, jnp.where(begins, g, accumulated + g)), updates, state.accumulated
        )
        enough = at_step("accumulate's steps", steps, state.step, jnp.float32) if is_schedule(steps) else steps
        emits = (mini_step.astype(jnp.float32) >= jnp.asarray(enough, jnp.float32)) | _one_bool(flush)
        parts = mini_step.astype(float_dtype(updates)) if reduction == "mean" else 1.0

        def reduced():
            return map_leaves(lambda g, a: a / parts, updates, total)

        def advance(ran, inner_state):
            return AccumulateState(jnp.where(ran, 0, mini_step), increment(state.step, ran), total, inner_state)

        return Decision(emits, reduced, advance)

    return conditional(inner, init, decide)


def _one_bool(flush: Any) -> jax.Array:
    one = isinstance(flush, bool) or (getattr(flush, "dtype", None) == jnp.bool_ and flush.shape == ())
    if not one:
        raise TypeError(f"flush must be a bool or a bool scalar; got {describe(flush)}")
    return jnp.asarray(flush)
