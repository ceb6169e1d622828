"""Rprop and SuperSAB: a step size for each entry, which grows while the sign of its gradient holds."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.errors import at_least_one, below_one, positive
from gradtx.core.hyper import Hyper, Number
from gradtx.core.leaves import map_leaves, zeros
from gradtx.core.numerics import on_real_and_imag, scale_down
from gradtx.core.states import Exact
from gradtx.core.transformation import transformation
from gradtx.transforms.basic import scale


class ScaleByRpropState(NamedTuple):
    """step_sizes: like params, starts at `learning_rate`. prev_sign: like params: sign of the last gradient, 0 at init
    and after it flipped. Both float32 or wider."""

    step_sizes: Exact  # multiplied at each step: what is rounded would be multiplied too
    prev_sign: Exact  # a sign that is lost is a sign that has changed


class ScaleBySupersabState(NamedTuple):
    """rates: like params, starts at `learning_rate`. prev_update: like params: the last step, 0 at init and after it
    was undone. prev_sign: like params: sign of the last gradient, 0 likewise. All float32 or wider."""

    rates: Exact  # as the step sizes of Rprop
    prev_update: Exact  # taken back as it was made
    prev_sign: Exact


@transformation(any_leaves=True)
def scale_by_rprop(
    learning_rate: Number = 1e-3,
    eta_minus: Hyper = 0.5,
    eta_plus: Hyper = 1.2,
    min_step_size: Hyper = 1e-6,
    max_step_size: Hyper = 50.0,
):
    """Replace each entry by its sign times a step size of its own, which follows whether the sign holds.

        Δ = min(eta_plus·Δ, max_step_size)     where the sign of g is that of the step before
        Δ = max(eta_minus·Δ, min_step_size)    where it has flipped; there g counts as 0 now and in the next comparison
        u = sign(g)·Δ

    Only for gradients without noise (full batches): the size of g is not used. Complex entries count as two.

    Args:
        learning_rate: Δ before the first step; greater than 0; parameter units.
        eta_minus: in [0, 1). eta_plus: at least 1.
        min_step_size, max_step_size: the bounds of Δ; greater than 0; parameter units.

    State: `ScaleByRpropState`: step_sizes and prev_sign, like params, float32 or wider.
    Raises: ValueError: an argument out of range.
    Source: Riedmiller & Braun 1993, equations 4 to 7, without the step back, as in torch's `Rprop` (iRprop⁻ of Igel &
        Hüsken 2003). optax 0.2.8 returns the step before, and 0 at first. Within 10 ulp of exact arithmetic over 1,000
        steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_rprop(0.1)
        >>> u, state = tx.update(jnp.array([5.0, -0.1]), tx.init(jnp.zeros(2)))
        >>> print(u, tx.update(jnp.array([1.0, 1.0]), state)[0])
        [ 0.1 -0.1] [0.12 0.  ]
    """
    positive(learning_rate=learning_rate, min_step_size=min_step_size, max_step_size=max_step_size)
    below_one(eta_minus=eta_minus)
    at_least_one(eta_plus=eta_plus)

    @on_real_and_imag
    def leaf(g, step, prev_sign):
        change, flipped = _followed(step, jnp.sign(g) * prev_sign, eta_minus, eta_plus)
        # The change is bounded, not the sum, which XLA would compute twice, and copy the old sizes for it.
        step = step + jnp.clip(change, min_step_size - step, max_step_size - step)
        sign = jnp.where(flipped, 0.0, jnp.sign(g))
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
    """Give each entry a learning rate of its own, which follows whether the sign of its gradient holds, and momentum.

        η = min(eta_plus·η, max_learning_rate),   u = η·g + momentum·u   where the sign of g holds
        η = max(eta_minus·η, min_learning_rate),  u = -u                 where it has flipped: the last step is undone

    After it was undone, an entry has no momentum, and its next sign is compared with none. Complex entries count as
    two.

    Args:
        learning_rate: η before the first step; greater than 0; parameter units per gradient unit.
        eta_minus: in [0, 1). eta_plus: at least 1.
        momentum: what is kept of the last step; in [0, 1).
        min_learning_rate, max_learning_rate: the bounds of η; greater than 0.

    State: `ScaleBySupersabState`: rates, prev_update and prev_sign, like params, float32 or wider.
    Raises: ValueError: an argument out of range.
    Source: Tollenaere 1990, "SuperSAB: fast adaptive back propagation with good scaling properties", Neural Networks 3,
        section 3. The bounds are ours, as in Rprop: without an upper one the rates grow until they overflow. No optax,
        torch or Keras counterpart. The undoing is exact where nothing after it in a chain changes more than the sign.
        Within 40 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.scale_by_supersab(0.1)
        >>> u, state = tx.update(jnp.array(2.0), tx.init(jnp.array(0.0)))
        >>> print(u, tx.update(jnp.array(-1.0), state)[0])
        0.2 -0.2
    """
    positive(learning_rate=learning_rate, min_learning_rate=min_learning_rate, max_learning_rate=max_learning_rate)
    below_one(eta_minus=eta_minus, momentum=momentum)
    at_least_one(eta_plus=eta_plus)

    @on_real_and_imag
    def leaf(g, rate, last, prev_sign):
        sign = jnp.sign(g)
        change, flipped = _followed(rate, sign * prev_sign, eta_minus, eta_plus)
        rate = jnp.clip(rate + change, min_learning_rate, max_learning_rate)
        u = jnp.where(flipped, -last, rate * g + scale_down(last, momentum))
        return u, rate, jnp.where(flipped, 0.0, u), jnp.where(flipped, 0.0, sign)

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
    """Rprop: `scale_by_rprop`, with the minus of descent. For full batches.

    Args:
        learning_rate: the first step size of every entry; greater than 0. It cannot follow a schedule.
        eta_minus, eta_plus, min_step_size, max_step_size: as in `scale_by_rprop`.

    State: a chain's dict, with one entry: `ScaleByRpropState`.
    Source: Riedmiller & Braun 1993. As torch's, whose rate is 1e-2; optax 0.2.8 is a step late.
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
    """SuperSAB: `scale_by_supersab`, with the minus of descent. For full batches.

    Args:
        learning_rate: the first rate of every entry; greater than 0. It cannot follow a schedule.
        eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate: as in `scale_by_supersab`.

    State: a chain's dict, with one entry: `ScaleBySupersabState`.
    Source: Tollenaere 1990.
    """
    scaling = scale_by_supersab(learning_rate, eta_minus, eta_plus, momentum, min_learning_rate, max_learning_rate)
    return chain(scaling, scale(-1.0))


def _followed(size: Any, agreement: Any, eta_minus: Any, eta_plus: Any) -> tuple[Any, Any]:
    """What is added to the size of the step after this sign was compared with the last, and where the two differ."""
    held, flipped = agreement > 0, agreement < 0
    # Added, not multiplied: 1.05 is off by 5e-8 in float32, which a thousand factors make 5e-5.
    return size * jnp.where(held, eta_plus - 1.0, jnp.where(flipped, eta_minus - 1.0, 0.0)), flipped


def _filled(params: Any, value: Any) -> Any:
    """Like params, full of one value, in both parts of complex leaves."""
    return map_leaves(on_real_and_imag(lambda z: (z + value,)), zeros(params))
