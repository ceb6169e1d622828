"""Schedule-free learning: averaging instead of momentum and of a decaying learning rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import float_dtype, map_leaves
from gradtx.core.numerics import quotient
from gradtx.core.pair import require_changeable
from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.errors import below_one, in_unit_interval, non_negative, positive
from gradtx.wrappers.lookup import copied, filled, only_trained, the_state, with_params


class ScheduleFreeState(NamedTuple):
    """The state of `schedule_free`.

    b1: the b1 that made the parameters, float scalar; `b1` at init.
    weight_sum: the sum of the weights of all steps, float scalar; 0 at init.
    max_learning_rate: the largest learning rate so far, float scalar; 0 at init.
    z: the end of the inner steps, like params, float32 or wider; a copy of the parameters at init.
    inner: the inner transformation's state.

    The scalars are float32, or as wide as the widest parameter.
    """

    b1: jax.Array
    weight_sum: jax.Array
    max_learning_rate: jax.Array
    z: Exact
    inner: Any


@transformation(any_leaves=True, words={"out": "the step of the average"})
def schedule_free(
    inner: Transformation,
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    weight_lr_power: Hyper = 2.0,
    *,
    average_decay: Hyper | None = None,
):
    """Take gradients between the inner steps and their average, and evaluate the model at the average.

        z = z + u                            u: the inner update, for the gradient at y
        x = x + c·(z - x)                    c = p/Σp,   p = (the largest learning_rate so far)^weight_lr_power
                                             c = 1 - average_decay, if that is given
        y = (1 - b1)·z + b1·x                y: the parameters

    Evaluate the model at x: `eval_params(state, params)` computes x = y + (1/b1 - 1)·(y - z). Anything else that moves
    the parameters also moves x, so put this at the end of a chain. With b1 = 1 the parameters are the mean of z. The
    inner transformation should have no momentum; it sees y as its parameters (weight decay acts on y). In half
    precision, steps of y below its rounding error are lost, and x with them: keep such parameters in float32.

    Args:
        inner: the transformation that moves z: `sgd(rate)`, `adam(rate, b1=0.0)`.
        learning_rate: the learning rate of `inner` again, used for the weights only. Only its changes over time matter;
            finite, at least 0.
        b1: the weight of the average in the point where gradients are taken; in (0, 1].
        weight_lr_power: how much less the steps of a warm-up count; finite, at least 0. With 0 all count alike.
        average_decay: the weight of the past in x, in [0, 1); None for the mean of all steps. With a number this is
            primal averaging, and weight_lr_power has no effect: around sgd(η/(1 - average_decay)), with b1 = 1 the path
            of momentum, with b1 = average_decay that of Nesterov's.

    State: `ScheduleFreeState`.
    Raises: ValueError: an argument is out of range, or `params` is not given.
    Source: Defazio et al. 2024 (arXiv:2405.15682), equations 3 to 5; the weights as in its authors' code; with
        average_decay, generalized primal averaging (2512.17131 on arXiv), where it is μ_x, and b1 is μ_y. optax's reads
        a scheduled learning_rate one step later than its inner transformation does. y within 150 ulp of the largest
        parameter so far over 1,000 steps in float32, x within 150/b1, since x is a difference of rounded numbers.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.schedule_free(gradtx.sgd(1.0), 1.0, b1=0.5), jnp.array(0.0)
        >>> u, state = tx.update(jnp.array(-1.0), tx.init(w), w)  # z = x = y = 1
        >>> v, state = tx.update(jnp.array(-1.0), state, w + u)  # z = 2, x = 1.5, y = 1.75
        >>> print(gradtx.eval_params(state, w + u + v))
        1.5
    """
    positive(b1=b1)
    in_unit_interval(b1=b1)
    require_changeable("schedule_free", inner)
    non_negative(learning_rate=learning_rate, weight_lr_power=weight_lr_power)
    below_one(average_decay=average_decay)

    def init(params):
        dtype = float_dtype(params)
        zero, start = jnp.zeros((), dtype), jnp.array(b1, dtype)
        return ScheduleFreeState(start, zero, zero.copy(), copied(params), inner.init(params))

    def update(updates, state, params, **extra):
        updates, inner_state = inner.update(updates, state.inner, params, **extra)
        dtype = state.weight_sum.dtype
        largest = jnp.maximum(state.max_learning_rate, jnp.asarray(learning_rate, dtype))
        weight = _power(largest, jnp.asarray(weight_lr_power, dtype))
        weight_sum = state.weight_sum + weight
        # The mean does not move before the first rate above 0.
        c = quotient(weight, weight_sum) if average_decay is None else jnp.asarray(1.0 - average_decay, dtype)
        b, old = jnp.array(b1, dtype), state.b1

        def leaf(u, z, y):
            x = _average(y, z, old)
            to_z = z + u - x
            # y_new - y term by term: the difference of the two would lose small steps.
            return (1 - b) * u + b * c * to_z + (b - old) * (x - z), z + u

        updates, z = map_leaves(leaf, updates, state.z, params)
        return updates, ScheduleFreeState(b, weight_sum, largest, z, inner_state)

    return init, update


def eval_params(state: Any, params: Any) -> Any:
    """The parameters to evaluate the model with: the average x of `schedule_free(...)`.

        x = y + (1/b1 - 1)·(y - z)

    Args:
        state: a state with that of `schedule_free` anywhere in it: in a chain, in other wrappers.
        params: the parameters y that belong to this state. The result has their types, and their own leaves where they
            are not trained.

    Raises:
        ValueError: the state holds none of `schedule_free`, several, or a batch; or it does not fit the parameters.
        TypeError: `state` is a transformation.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> state = gradtx.schedule_free(gradtx.sgd(0.1), 0.1).init(jnp.ones(2))
        >>> print(gradtx.eval_params(state, jnp.ones(2)))
        [1. 1.]
    """
    found = the_state("eval_params", ScheduleFreeState, "schedule_free", state)
    if found.b1.shape != ():
        raise ValueError("eval_params: this is the state of a batch: call jax.vmap(eval_params)(state, params)")
    z = only_trained(filled("z", found.z, params))
    x = map_leaves(lambda y, z: _average(y, z, found.b1), only_trained(params), z)
    return with_params("x", x, params)


def _power(x: jax.Array, power: jax.Array) -> jax.Array:
    """x to this power, for x >= 0; its derivatives are finite at 0 too."""
    return jnp.where(x > 0, jnp.where(x > 0, x, 1) ** power, jnp.where(power == 0, 1, 0).astype(x.dtype))


def _average(y: jax.Array, z: jax.Array, b1: jax.Array) -> jax.Array:
    return y + ((1 - b1) / b1) * (y - z)
