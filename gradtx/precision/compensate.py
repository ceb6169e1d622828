"""Parameters in half precision whose rounding errors are carried along: Kahan's summation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import is_none
from gradtx.precision.landing import is_half, landing, nearest, on_half, require_state


class CompensateState(NamedTuple):
    """Fields: compensation, inner."""

    compensation: Exact  # what is due, times 2⁸ or 2¹¹; like params, in their types, None where not half; 0 at init
    inner: Any  # the inner transformation's state


@transformation(any_leaves=True, lands=True)
def compensate(inner: Transformation):
    """Carry the rounding errors of parameters in half precision along, and add them to the next steps.

        y = u + c      new = round(w + y)      c = round(y - (new - w))       returned is the update that leads to new

    Rounded to nearest, a bfloat16 parameter stays where |u| < |w|/512; at 1, a thousand steps of -1e-4 leave it at 1,
    and here at 0.902. What is left is the rounding of c to 8 bits (float16: 11): steps below |w|·2⁻¹⁸ (2⁻²⁴) may be
    lost. An update of 0 leaves w and c as they are. It chooses the parameters that `apply_updates` makes from the
    updates as they leave here, so in a chain it must be the last, and round `schedule_free` and `lookahead`. Leaves of
    other types than bfloat16 and float16 are as `inner` has them.

    Where somebody else changes the parameters, c stays what it was: at most half a last place of the old w. Make the
    state anew where they are loaded from elsewhere.

    Args:
        inner: the transformation; it sees the parameters as they are.

    State: `CompensateState`: compensation, 2⁸·c in bfloat16 or 2¹¹·c in float16 (so that c of a small w is no
        subnormal), like params, 0 at init, None where a parameter is not in half precision: 2 bytes each; inner.
    Raises: ValueError: `params` not given; the state was made for parameters of other types.
    Source: Kahan 1965, https://doi.org/10.1145/363707.363723; for bfloat16, Zamirai et al. 2020 (arXiv:2010.06192),
        algorithm 2. optax has none. optimi keeps c as it is, of which float16 has no digits below 6e-8. Written with
        casts it may do nothing under jit, where XLA may leave out those that narrow: hence `lax.reduce_precision`.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.compensate(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.compensation / 2**8)  # in all, 0.996
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
    way, new = landing(y, p, nearest(old + y, p.dtype))
    due = (y - (new - old)) * scale
    due = jnp.where(jnp.isfinite(due), nearest(due, p.dtype), 0.0).astype(p.dtype)  # a NaN is seen in the parameter
    rests = u == 0
    return jnp.where(rests, jnp.float32(-0.0), way), jnp.where(rests, kept, due)
