"""Rprop and SuperSAB: a step size for each entry, which grows as long as the sign of its gradient stays the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.deferred import is_staged
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import on_real_and_imag, scale_down
from gradtx.core.states import Exact, ExactMagnitude
from gradtx.core.transformation import transformation
from gradtx.errors import at_least_one, finite, in_unit_interval, non_negative, ordered, positive
from gradtx.transforms.basic import scale


class ScaleByRpropState(NamedTuple):
    """The state of `scale_by_rprop`. Both fields must be kept exactly: each step multiplies the step sizes."""

    step_sizes: ExactMagnitude  # like params, float32 or wider; `learning_rate` at init
    prev_sign: (
        Exact  # the sign of the last gradient, 0 after a change of sign; like params, float32 or wider; 0 at init
    )


class ScaleBySupersabState(NamedTuple):
    """The state of `scale_by_supersab`. All fields must be kept exactly: a step is undone by its exact opposite."""

    rates: ExactMagnitude  # learning rates; like params, float32 or wider; `learning_rate` at init
    prev_update: Exact  # the last update, 0 after it was undone; like params, float32 or wider; 0 at init
    prev_sign: (
        Exact  # the sign of the last gradient, 0 after a change of sign; like params, float32 or wider; 0 at init
    )


@transformation(any_leaves=True)
def scale_by_rprop(
    learning_rate: Number = 1e-3,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    min_step_size: Hyper = 1e-6,
    max_step_size: Hyper = 50.0,
):
    """Replace each entry by its sign times a step size of its own, which grows until the sign changes.

        Δ = min(eta_plus·Δ, max_step_size)     where g has the sign of the step before
        Δ = max(eta_minus·Δ, min_step_size)    where it has the opposite sign; there g counts as 0
        u = sign(g)·Δ

    A gradient that counts as 0 counts so at the next step too, which then changes no step size.
    Only for gradients without noise (full batches), since only their signs count. The real and imaginary parts of
    complex entries are entries of their own.

    Args:
        learning_rate: Δ before the first step; finite, greater than 0; parameter units.
        eta_minus: the factor of Δ after a change of sign; in [0, 1].
        eta_plus: the factor of Δ while the sign stays the same; at least 1.
        min_step_size, max_step_size: the bounds of Δ, in this order; at least 0, finite; parameter units.

    State: `ScaleByRpropState`: step_sizes and prev_sign, like params, float32 or wider.
    Raises: ValueError: an argument is out of range.
    Source: Riedmiller & Braun 1993, equations 4 to 7, without undoing the last step, as in torch's `Rprop` (iRprop⁻ of
        Igel & Hüsken 2003). optax 0.2.8 returns the update of the step before, and 0 at first. Within 10 ulp of exact
        arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_rprop(0.1)
        >>> u, state = tx.update(jnp.array([5.0, -0.1]), tx.init(jnp.zeros(2)))
        >>> print(u, tx.update(jnp.array([1.0, 1.0]), state)[0])
        [ 0.1 -0.1] [0.12 0.  ]
    """
    positive(learning_rate=learning_rate)
    non_negative(min_step_size=min_step_size)
    finite(learning_rate=learning_rate, max_step_size=max_step_size)
    ordered(min_step_size=min_step_size, max_step_size=max_step_size)
    in_unit_interval(eta_minus=eta_minus)
    at_least_one(eta_plus=eta_plus)

    @on_real_and_imag
    def leaf(g, step, prev_sign):
        change, flipped = _followed(step, jnp.sign(g) * prev_sign, eta_minus, eta_plus)
        # The change is bounded before the addition. XLA would compute a bounded sum twice, and copy the sizes for that.
        step = step + jnp.clip(change, min_step_size - step, max_step_size - step)
        # With the new size added 0 times, XLA knows that it is ready, and so overwrites the old sign in place.
        sign = jnp.where(flipped, 0.0, jnp.sign(g)) + 0.0 * step
        return sign * step, step, sign

    def init(params):
        return ScaleByRpropState(_filled(params, learning_rate), prev_sign=zeros(params))

    def update(updates, state, params=None):
        updates, steps, signs = map_leaves(leaf, updates, state.step_sizes, state.prev_sign)
        return updates, ScaleByRpropState(steps, signs)

    return init, update


@transformation(any_leaves=True)
def scale_by_supersab(
    learning_rate: Number = 1e-2,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.05,
    momentum: Hyper = 0.9,
    min_learning_rate: Hyper = 1e-6,
    max_learning_rate: Hyper = 10.0,
):
    """Multiply each entry by a learning rate of its own, which grows until the sign changes, and add momentum.

        η = min(eta_plus·η, max_learning_rate),   u = η·g + momentum·u   where g has the sign of the step before
        η = max(eta_minus·η, min_learning_rate),  u = -u                 where it has the opposite sign: undo the step

    After a step was undone, an entry has no momentum, and its next sign is not compared with a former one. The real and
    imaginary parts of complex entries are entries of their own.

    Args:
        learning_rate: η before the first step; finite, greater than 0; parameter units per gradient unit.
        eta_minus: the factor of η after a change of sign; in [0, 1].
        eta_plus: the factor of η while the sign stays the same; at least 1.
        momentum: the share of the last update that is kept; in [0, 1].
        min_learning_rate, max_learning_rate: the bounds of η, in this order; at least 0, finite.

    State: `ScaleBySupersabState`: rates, prev_update and prev_sign, like params, float32 or wider.
    Raises: ValueError: an argument is out of range.
    Source: Tollenaere 1990, "SuperSAB: fast adaptive back propagation with good scaling properties", Neural Networks 3,
        section 3. The paper has no bounds; they are as in Rprop. Without an upper bound the rates would overflow. Not
        in optax, torch or Keras. A step is undone exactly if later members of a chain change only the sign. Within 40
        ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_supersab(0.1)
        >>> u, state = tx.update(jnp.array(2.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(-1.0), state)[0])
        0.2 -0.2
    """
    positive(learning_rate=learning_rate)
    non_negative(min_learning_rate=min_learning_rate)
    finite(learning_rate=learning_rate, max_learning_rate=max_learning_rate)
    ordered(min_learning_rate=min_learning_rate, max_learning_rate=max_learning_rate)
    in_unit_interval(eta_minus=eta_minus, momentum=momentum)
    at_least_one(eta_plus=eta_plus)

    @on_real_and_imag
    def leaf(g, rate, last, prev_sign):
        sign = jnp.sign(g)
        change, flipped = _followed(rate, sign * prev_sign, eta_minus, eta_plus)
        rate = rate + jnp.clip(change, min_learning_rate - rate, max_learning_rate - rate)
        u = jnp.where(flipped, -last, rate * g + scale_down(last, momentum))
        # The update needs the last one and the old sign. It is made once, on CPU, and then XLA overwrites these in
        # place: the new sign comes after it, since it is added 0 times, and says where the sign has changed.
        u = jax.lax.optimization_barrier(u) if jax.default_backend() == "cpu" and is_staged(u) else u
        next_sign = jnp.where(flipped, 0.0, sign) + 0.0 * jnp.clip(u, -1.0, 1.0)
        return u, rate, jnp.where((next_sign == 0) & (sign != 0), 0.0, u), next_sign

    def init(params):
        return ScaleBySupersabState(_filled(params, learning_rate), prev_update=zeros(params), prev_sign=zeros(params))

    def update(updates, state, params=None):
        updates, rates, last, signs = map_leaves(leaf, updates, state.rates, state.prev_update, state.prev_sign)
        return updates, ScaleBySupersabState(rates, last, signs)

    return init, update


@transformation
def rprop(
    learning_rate: Number = 1e-3,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    min_step_size: Hyper = 1e-6,
    max_step_size: Hyper = 50.0,
):
    """Rprop: `scale_by_rprop`, then `scale(-1)`. For full batches.

    Args:
        learning_rate: the first step size of every entry; greater than 0; not a schedule.
        eta_minus, eta_plus, min_step_size, max_step_size: as in `scale_by_rprop`.

    State: a chain's dict, with one entry: `ScaleByRpropState`.
    Source: Riedmiller & Braun 1993. Same as torch, whose learning rate is 1e-2. optax 0.2.8 is one step late.
    """
    return chain(scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size), scale(-1.0))


@transformation
def supersab(
    learning_rate: Number = 1e-2,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.05,
    momentum: Hyper = 0.9,
    min_learning_rate: Hyper = 1e-6,
    max_learning_rate: Hyper = 10.0,
):
    """SuperSAB: `scale_by_supersab`, then `scale(-1)`. For full batches.

    Args:
        learning_rate: the first learning rate of every entry; greater than 0; not a schedule.
        eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate: as in `scale_by_supersab`.

    State: a chain's dict, with one entry: `ScaleBySupersabState`.
    Source: Tollenaere 1990.
    """
    scaling = scale_by_supersab(learning_rate, eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate)
    return chain(scaling, scale(-1.0))


def _followed(size: Any, agreement: Any, eta_minus: Any, eta_plus: Any) -> tuple[Any, Any]:
    """The change of a step size, given the product of this sign and the last, and where the sign has changed."""
    held, flipped = agreement > 0, agreement < 0
    # A change is added instead of a factor applied: 1.05 has an error of 5e-8 in float32, 5e-5 after a thousand steps.
    return size * jnp.where(held, eta_plus - 1.0, jnp.where(flipped, eta_minus - 1.0, 0.0)), flipped


def _filled(params: Any, value: Any) -> Any:
    """Like params, filled with one value, in both parts of complex leaves."""
    return map_leaves(on_real_and_imag(lambda z: (z + value,)), zeros(params))
