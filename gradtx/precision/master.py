"""Parameters in half precision that follow float32 copies."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.states import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.precision.half import nearest, on_wide_parameters, update_to


class KeepMasterState(NamedTuple):
    """The state of `keep_master`.

    master: the parameters in float32, like params; None for those not in half precision. At init a copy of them.
    inner: the inner transformation's state, made from the float32 copies.
    """

    master: Exact
    inner: Any


@transformation(any_leaves=True, sets_params=True)
def keep_master(inner: Transformation):
    """Keep float32 copies of parameters in half precision; the parameters are these copies, rounded.

        m = m + u      u: the inner update for the parameters m      w = round(m)

    m goes where float32 training would go with the gradients at w. The updates must be added as they are: in a chain
    this is the last member, and it goes outside `schedule_free` and `lookahead`. Parameters that are not bfloat16 or
    float16 get the updates of `inner`.

    If something else changes a parameter (a checkpoint, a projection), so that it is not round(m), then m starts again
    from it: m = w before the step, entry by entry.

    Args:
        inner: the transformation. It sees m as the parameters, and so do functions given to it (`value_fn`).

    State: `KeepMasterState`, 4 bytes for each parameter in half precision.
    Raises: ValueError: `params` is not given, or the state was made for parameters of other types.
    Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.1, as in apex O2 and DeepSpeed. Not in optax.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.keep_master(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.master)
        0.996094 0.99600005
    """
    return on_wide_parameters(inner, KeepMasterState, start=lambda wide: wide, read=_followed, write=_stepped)


@jax.jit
def _followed(p: jax.Array, master: jax.Array) -> jax.Array:
    wide = p.astype(jnp.float32)
    return jnp.where(nearest(master, p.dtype) == wide, master, wide)


@jax.jit
def _stepped(u: jax.Array, p: jax.Array, master: jax.Array) -> tuple[jax.Array, jax.Array]:
    u = u.astype(jnp.float32)
    master = master + u
    new = nearest(master, p.dtype)
    way, reached = update_to(u, p, new)
    return way, jnp.where(reached == new, master, reached)
