"""Gaussian noise in the gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import at_width, float_dtype, map_leaves
from gradtx.core.numerics import increment, safe_sqrt, zero_count
from gradtx.core.states import RandomKey
from gradtx.core.transformation import transformation
from gradtx.core.trees import flatten, is_trained, shape_of
from gradtx.errors import non_negative
from gradtx.transforms.seeds import key_data_of, key_of, leaf_keys, require_seed


class AddNoiseState(NamedTuple):
    """The state of `add_noise`."""

    count: jax.Array  # updates so far; int32 scalar; 0 at init
    key: RandomKey  # the data of the random key; uint32; the same at every step


@transformation
def add_noise(eta: Hyper, gamma: Hyper, key: int | jax.Array):
    """Add Gaussian noise whose variance decreases with the steps.

        u = g + n_t      n_t ~ N(0, eta/(1 + t)^gamma)      t = 0 at the first step

    The noise of a leaf depends on the key, on t and on the path of the leaf, whose hash is folded into the key. So two
    leaves have different noise, and other leaves do not change it. It is drawn in float32 for every dtype. A complex
    entry gets a complex number of this variance, half of it in each part. Inside `shard_map` all devices draw the same
    numbers for their parts.

    Args:
        eta: the variance at the first step; finite, at least 0; gradient units squared. The paper uses 0.01, 0.3 and 1.
        gamma: how fast the variance decreases; finite, at least 0. The paper uses 0.55.
        key: an integer in [0, 2**32), or a key of `jax.random`, typed or raw.

    State: `AddNoiseState`: count, int32 scalar, 0 at init; key, uint32, `jax.random.key_data` of the key. To sweep over
        keys, map over states.
    Raises: ValueError: an argument is out of range. TypeError: key is neither an integer nor a key of `jax.random`.
    Source: Neelakantan et al. 2015 (arXiv:1511.06807), equation 1. optax has the same variance, but other numbers: it
        splits its key at every step. Within 4 ulp of exact arithmetic over 1,000 steps in float32.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> tx = gradtx.add_noise(eta=0.01, gamma=0.55, key=0)
        >>> u, state = tx.update(jnp.zeros(10_000), tx.init(jnp.zeros(10_000)))
        >>> print(f"{u.std():.2f}")
        0.10
    """
    non_negative(eta=eta, gamma=gamma)
    require_seed(key=key)

    def init(params):
        return AddNoiseState(zero_count(), key_data_of(key))

    def update(updates, state, params=None):
        dtype = float_dtype(updates)
        t = state.count.astype(dtype) + 1.0
        stddev = safe_sqrt(jnp.asarray(eta, dtype)) * t ** jnp.asarray(-0.5 * gamma, dtype)
        own = jax.random.wrap_key_data(state.key, impl=jax.random.key_impl(key_of(key)))
        keys = leaf_keys(jax.random.fold_in(own, state.count), updates)
        leaves, structure = flatten(updates)
        noise = [_normal(k, g) if is_trained(g) else None for k, g in zip(keys, leaves, strict=True)]
        updates = map_leaves(lambda g, n: g + stddev * n, updates, jax.tree.unflatten(structure, noise))
        return updates, AddNoiseState(increment(state.count), state.key)

    return init, update


def _normal(key: jax.Array, like: Any) -> jax.Array:
    return jax.random.normal(key, shape_of(like), at_width(jnp.result_type(like), jnp.dtype("float32")))
