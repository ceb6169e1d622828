"""Kahan summation for parameters in half precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import is_none
from gradtx.precision.half import is_half, nearest, on_half, require_state, update_to


class CompensateState(NamedTuple):
    """The state of `compensate`.

    compensation: the rounding error still to be added, times 2⁸ (bfloat16) or 2¹¹ (float16), so that the error of a
        small parameter is not a subnormal. Like params, in their types; None for parameters not in half precision. 0 at
        init.
    inner: the inner transformation's state.
    """

    compensation: Exact
    inner: Any


@transformation(any_leaves=True, sets_params=True)
def compensate(inner: Transformation):
    """Carry the rounding errors of parameters in half precision, and add them to the next steps (Kahan summation).

        y = u + c      new = round(w + y)      c = round(y - (new - w))       the update returned takes w to new

    Rounded to nearest, a bfloat16 parameter does not move where |u| < |w|/512: a thousand steps of -1e-4 from 1 end at
    1; with this they end at 0.902. The remaining error is that of rounding c to 8 bits (float16: 11): steps below
    |w|·2⁻¹⁸ (2⁻²⁴) may be lost. An update of 0 changes neither w nor c.

    The updates must be added as they are: in a chain this is the last member, and it goes outside `schedule_free` and
    `lookahead`. Parameters that are not bfloat16 or float16 get the updates of `inner`.

    If something else changes the parameters, c keeps its value: at most half a last place of the old w. Make the state
    again after loading parameters from elsewhere.

    Args:
        inner: the transformation. It sees the parameters as they are.

    State: `CompensateState`, 2 bytes for each parameter in half precision.
    Raises: ValueError: `params` is not given, or the state was made for parameters of other types.
    Source: Kahan 1965, https://doi.org/10.1145/363707.363723; for bfloat16, Zamirai et al. 2020 (arXiv:2010.06192),
        algorithm 2. Not in optax. optimi keeps c unscaled, so that float16 has no digits for it below 6e-8. Written
        with casts it may do nothing under jit, where XLA may remove a cast to a narrower type and back. This one uses
        `lax.reduce_precision`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.compensate(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.compensation / 2**8)  # the sum of both is 0.996
        0.996094 -9.20296e-05
    """

    def init(params):
        zero = jax.tree.map(lambda p: jnp.zeros_like(p) if is_half(p) else None, params, is_leaf=is_none)
        return CompensateState(zero, inner.init(params))

    def update(updates, state, params, **extra):
        require_state("compensation", state.compensation, params)
        updates, after = inner.update(updates, state.inner, params, **extra)
        updates, compensation = on_half(_compensated, updates, params, state.compensation)
        return updates, CompensateState(compensation, after)

    return init, update


@jax.jit
def _compensated(u: jax.Array, p: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
    u, old = u.astype(jnp.float32), p.astype(jnp.float32)
    scale = jnp.float32(2.0 ** (jnp.finfo(p.dtype).nmant + 1))
    y = u + kept.astype(jnp.float32) / scale
    way, new = update_to(y, p, nearest(old + y, p.dtype))
    due = (y - (new - old)) * scale
    due = jnp.where(jnp.isfinite(due), nearest(due, p.dtype), 0.0).astype(p.dtype)  # the parameter has the NaN
    rests = u == 0
    return jnp.where(rests, jnp.float32(-0.0), way), jnp.where(rests, kept, due)
