"""Random trees under optax's names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["random_like", "split_key_like", "unwrap_random_key_data"]


def split_key_like(rng_key: Any, target_tree: Any) -> Any:
    """A random key for each leaf."""
    structure = jax.tree.structure(target_tree)
    return jax.tree.unflatten(structure, list(jax.random.split(rng_key, structure.num_leaves)))


def random_like(
    rng_key: Any, target_tree: Any, sampler: Callable[..., Any] = jax.random.normal, dtype: Any = None
) -> Any:
    """Random numbers like the tree, with its shardings."""
    sharded = "out_sharding" in inspect.signature(sampler).parameters

    def leaf(x: Any, key: Any) -> Any:
        more = {"out_sharding": jax.typeof(x).sharding} if sharded else {}
        return sampler(key, x.shape, dtype or x.dtype, **more)

    return jax.tree.map(leaf, target_tree, split_key_like(rng_key, target_tree))


def unwrap_random_key_data(input_tree: Any) -> Any:
    """The tree with the data of typed random keys in their place."""

    def leaf(x: Any) -> Any:
        is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(leaf, input_tree)
