"""Parameters in half precision that follow float32 copies."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.roles import Exact
from gradtx.core.transformation import Transformation, transformation
from gradtx.precision.landing import landing, nearest, on_half, only_half, require_state, widened, with_kept
from gradtx.wrappers.lookup import copied


class KeepMasterState(NamedTuple):
    """Fields: master, inner."""

    master: Exact  # the parameters in float32, like params, None where not half; a copy of the parameters at init
    inner: Any  # the inner transformation's state, made from the master


@transformation(any_leaves=True, lands=True)
def keep_master(inner: Transformation):
    """Keep float32 copies of parameters in half precision, and let the parameters be these, rounded.

        m = m + u      u for m as the parameters;      returned is the update that leads w to round(m)

    The path of m is that of float32 training with the gradients at w. It chooses the parameters that `apply_updates`
    makes from the updates as they leave here, so in a chain it must be the last, and round `schedule_free` and
    `lookahead`. Leaves of other types than bfloat16 and float16 are as `inner` has them.

    Where a parameter is not round(m), somebody else has changed it (a checkpoint, a projection, an average); m then
    follows: m = w before the step, entry by entry.

    Args:
        inner: the transformation; it sees m as the parameters, as do functions that it is given (`value_fn`).

    State: `KeepMasterState`: master, float32, like params, a copy of the parameters at init, None where a parameter is
        not in half precision: 4 bytes each; inner, made from m.
    Raises: ValueError: `params` not given; the state was made for parameters of other types.
    Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.1. optax has none; apex' O2 and DeepSpeed do this.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.keep_master(gradtx.sgd(0.001)), jnp.ones((), jnp.bfloat16)
        >>> state = tx.init(w)
        >>> for _ in range(4):
        ...     w, state = tx.step(jnp.ones((), jnp.bfloat16), state, w)
        >>> print(w, state.master)
        0.996094 0.99600005
    """

    def init(params):
        master = copied(only_half(params))
        return KeepMasterState(master, inner.init(widened(params, master)))

    def update(updates, state, params, **extra):
        require_state("master", state.master, params)
        followed = with_kept(_followed, params, state.master)
        updates, after = inner.update(updates, state.inner, widened(params, followed), **extra)
        updates, master = on_half(_stepped, updates, params, followed)
        return updates, KeepMasterState(master, after)

    return init, update


@jax.jit
def _followed(p: jax.Array, master: jax.Array) -> jax.Array:
    wide = p.astype(jnp.float32)
    return jnp.where(nearest(master, p.dtype) == wide, master, wide)


@jax.jit
def _stepped(u: jax.Array, p: jax.Array, master: jax.Array) -> tuple[jax.Array, jax.Array]:
    u = u.astype(jnp.float32)
    master = master + u
    new = nearest(master, p.dtype)
    way, landed = landing(u, p, new)
    return way, jnp.where(landed == new, master, landed)
