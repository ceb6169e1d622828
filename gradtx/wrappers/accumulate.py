"""One step from the gradients of several batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Steps
from gradtx.core.leaves import float_dtype, map_leaves, zeros
from gradtx.core.numerics import increment, zero_count
from gradtx.core.schedule import at_step, is_schedule
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import at_least_one, describe, one_of
from gradtx.wrappers.conditional import Decision, conditional


class AccumulateState(NamedTuple):
    """The state of `accumulate`.

    mini_step: gradients since the last step, int32 scalar; 0 at init and after a step.
    step: steps of the inner transformation, int32 scalar; 0 at init.
    accumulated: the sum of the gradients since the last step, like params, float32 or wider; 0 at init. After a step it
        still holds the last sum, which the next gradient replaces.
    inner: the inner transformation's state.
    """

    mini_step: jax.Array
    step: jax.Array
    accumulated: Exact
    inner: Any


@transformation(
    any_leaves=True,
    words={"rest": "no step yet: the gradient was added to those collected", "in": "the collected gradients as one"},
)
def accumulate(inner: Transformation, steps: Steps, *, reduction: str = "mean"):
    """Collect the gradients of k updates, and make one step with their mean.

        a = a + g in each update;  in every k-th: u = inner(a/k), a = 0;  in all others: u = 0

    For a batch cut into k equal parts, the mean of the k gradients is the gradient of the batch. It is equal to the bit
    if the sums are exact, otherwise to k·6e-8 of the largest part (1e-6 for 16 parts). The inner transformation runs in
    the k-th update only, with the extra arguments of that update. So `value` and `grad_fn` are those of the last part:
    put `sam` outside. Schedules inside count the steps of the inner transformation. Between steps the parameters stay
    unchanged, to the bit.

    `update(..., flush=True)`, with the last part of an epoch, makes the step at once: the mean is that of the gradients
    so far, this one included.

    To leave out a part that is not finite, put `skip_nonfinite` outside: a skipped part does not count among the k, and
    a flush that comes with it is skipped too. `accumulate(skip_nonfinite(tx), k)` instead leaves out the whole step,
    also when the sum or an update overflows; `skip_nonfinite` outside would meet that overflow again in every update.
    For both: `skip_nonfinite(accumulate(skip_nonfinite(tx), k), check_updates=False)`.

    Args:
        inner: the transformation.
        steps: k, the gradients for one step; a whole number, at least 1, or a schedule of such numbers, which sees the
            steps made so far.
        reduction: "mean" or "sum".

    State: `AccumulateState`.
    Extras: flush: a bool or a bool scalar; False if it is not given.
    Raises: ValueError: `steps` is below 1, or `reduction` another word. TypeError: `steps` is not a whole number, or
        `flush` no bool.
    Source: optax's `MultiSteps` runs the inner transformation in every update and multiplies by zero, so that a NaN
        stays forever. torch and Keras add gradients, and leave the division to the user, or to Keras.

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
