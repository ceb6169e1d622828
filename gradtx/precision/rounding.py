"""Stochastic rounding of parameters in half precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.numerics import increment, zero_count
from gradtx.core.states import RandomKey
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import flatten
from gradtx.precision.half import on_half, only_half, update_to
from gradtx.storage.bits import hashed_bits, rounded_stochastically
from gradtx.transforms.seeds import key_data_of, path_hashes, require_seed


class RoundStochasticallyState(NamedTuple):
    """The state of `round_stochastically`.

    count: updates done, int32 scalar; 0 at init.
    key: the data of the key, uint32, the same in all steps; `jax.random.key_data(key)` at init.
    inner: the inner transformation's state.
    """

    count: jax.Array
    key: RandomKey
    inner: Any


@transformation(any_leaves=True, sets_params=True)
def round_stochastically(inner: Transformation, key: int | jax.Array):
    """Round parameters in half precision up or down at random, so that small steps are preserved in expectation.

        w + u, in float32, lies between two neighbours a < b of w's type:
        w = b with probability (w + u - a)/(b - a), otherwise a;  the update returned takes w there

    Rounded to nearest, a bfloat16 parameter does not move where |u| < |w|/512: a thousand steps of 1e-4 down from 1 end
    at 1; with this they end at 0.9 ± 0.02. It keeps nothing of the size of the parameters. Where w + u is a value of
    w's type (also where u is 0), nothing is random. A step below |w|·6e-8 is lost, as in float32. Finite values never
    become infinite.

    The random bits of a leaf depend on the key, the number of the update, the path of the leaf and the position in it;
    they are the same on any mesh. Leaves joined by `pack` get other bits, which are as good.

    The updates must be added as they are: in a chain this is the last member, and it goes outside `schedule_free` and
    `lookahead`. Parameters that are not bfloat16 or float16 get the updates of `inner`.

    Args:
        inner: the transformation. It sees the parameters as they are.
        key: an integer in [0, 2**32), or a key of `jax.random`, typed or raw.

    State: `RoundStochasticallyState`. To sweep over keys, use `jax.vmap` over states.
    Raises: ValueError: an integer key is out of range, or `params` is not given. TypeError: `key` is not a key.
    Source: Gupta et al. 2015 (arXiv:1502.02551), section 3; for bfloat16, Zamirai et al. 2020 (arXiv:2010.06192). Not
        in optax. torchao's `bf16_stochastic_round` takes its bits from the global generator.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx, w = gradtx.round_stochastically(gradtx.sgd(1e-4), key=0), jnp.ones(100_000, jnp.bfloat16)
        >>> updates, state = tx.update(jnp.ones_like(w), tx.init(w), w)
        >>> print(f"{updates.mean():.5f} {updates.min():.5f}")  # few entries move, by a large step
        -0.00010 -0.00391
    """
    require_seed(key=key)

    def init(params):
        return RoundStochasticallyState(zero_count(), key_data_of(key), inner.init(params))

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
    return update_to(u, p, new.astype(jnp.float32))[0], None


def _seeds(count: jax.Array, key: jax.Array, params: Any) -> Any:
    """A seed for each parameter in half precision: uint32 scalars."""
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
