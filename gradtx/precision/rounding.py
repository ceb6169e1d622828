"""Parameters in half precision, rounded up or down by chance."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.bits import hashed_bits, rounded_stochastically
from gradtx.core.keys import key_of, path_hashes, require_seed
from gradtx.core.numerics import increment, zero_count
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten
from gradtx.precision.landing import landing, on_half, only_half


class RoundStochasticallyState(NamedTuple):
    """Fields: count, key, inner."""

    count: jax.Array  # updates done, int32 scalar; 0 at init
    key: jax.Array  # the data of the key, uint32, the same at all steps
    inner: Any  # the inner transformation's state


@transformation(any_leaves=True, lands=True)
def round_stochastically(inner: Transformation, key: int | jax.Array):
    """Round parameters in half precision up or down by chance, so that small steps are not lost but in the mean right.

        w + u, in float32, lies between two neighbours a < b of w's type:
        w = b with probability (w + u - a)/(b - a), a otherwise;  returned is the update that leads there

    Rounded to nearest, a bfloat16 parameter stays where |u| < |w|/512; at 1, a thousand steps of 1e-4 leave it at 1,
    and here at 0.9, give or take 0.02. Nothing of the size of the parameters is kept: it costs no memory. Where w + u
    is a value of w's type, and so where u is 0, nothing is random. A step below |w|·6e-8 is lost, as in float32.

    The bits of a leaf depend on the key, on the number of the update, on the path of the leaf, and on the place in it;
    they are the same on any mesh. Leaves that are joined (`pack`) get other bits, which are as good.
    It chooses the parameters that `apply_updates` makes from the updates as they leave here, so in a chain it must be
    the last member, and round `schedule_free` and `lookahead`. Leaves of other types than bfloat16 and float16 are as
    `inner` has them.

    Args:
        inner: the transformation; it sees the parameters as they are.
        key: an integer in [0, 2**32), or a key of `jax.random`, typed or raw.

    State: `RoundStochasticallyState`: count, int32 scalar, 0 at init; key, uint32, `jax.random.key_data` of the key;
        inner. To sweep over keys, map over states.
    Raises: ValueError: the key is an integer out of range; `params` not given. TypeError: it is no key.
    Source: Gupta et al. 2015 (arXiv:1502.02551), section 3; for bfloat16, Zamirai et al. 2020 (arXiv:2010.06192). optax
        has none; torchao's `bf16_stochastic_round` draws its bits from the global generator. Never to infinity.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.round_stochastically(gradtx.sgd(1e-4), key=0), jnp.ones(100_000, jnp.bfloat16)
        >>> updates, state = tx.update(jnp.ones_like(w), tx.init(w), w)
        >>> print(f"{updates.mean():.5f} {updates.min():.5f}")  # a few entries move, by much
        -0.00010 -0.00391
    """
    require_seed(key=key)

    def init(params):
        data = jnp.array(jax.random.key_data(key_of(key)))  # a copy, to be donated
        return RoundStochasticallyState(zero_count(), data, inner.init(params))

    def update(updates, state, params, **extra):
        updates, after = inner.update(updates, state.inner, params, **extra)
        updates, _ = on_half(_rounded, updates, params, _seeds(state.count, state.key, params))
        return updates, RoundStochasticallyState(increment(state.count), state.key, after)

    return init, update


@jax.jit
def _rounded(u: jax.Array, p: jax.Array, seed: jax.Array) -> tuple[jax.Array, None]:
    u = u.astype(jnp.float32)
    bits = hashed_bits(seed, p.shape)
    new = rounded_stochastically(p.astype(jnp.float32) + u, p.dtype, bits)
    return landing(u, p, new.astype(jnp.float32))[0], None


def _seeds(count: jax.Array, key: jax.Array, params: Any) -> Any:
    """For each parameter in half precision a seed of its own, uint32 scalars."""
    half = only_half(params)
    leaves, structure = flatten(half)
    if all(p is None for p in leaves):
        return half
    seed = count.astype(jnp.uint32)
    for word in key:
        seed = hashed_bits(seed ^ word, ())
    hashes = jnp.asarray(path_hashes(half))
    seeds = hashed_bits(hashed_bits(hashes[:, 0] ^ seed, ()) ^ hashes[:, 1], ())
    return jax.tree.unflatten(structure, [None if p is None else s for p, s in zip(leaves, seeds, strict=True)])
