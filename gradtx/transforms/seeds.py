"""Seeds as arguments, an integer or a key of `jax.random`, and a hash of the path of each leaf."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import is_none
from gradtx.errors import describe


def require_seed(**values: Any) -> None:
    """Raise unless each value is an integer in [0, 2**32), or one key of `jax.random`, typed or raw.

    Raises:
        TypeError: it is neither. ValueError: an integer is out of range; JAX would drop its upper half.
    """
    for name, seed in values.items():
        if not _is_seed(seed):
            several = isinstance(seed, jax.Array | np.ndarray) and seed.shape != ()
            got = f"an array of {seed.dtype}, shape {seed.shape}" if several else describe(seed)
            raise TypeError(f"{name} must be an integer or a key of jax.random; got {got}")
        if isinstance(seed, int | np.integer) and not 0 <= seed < 2**32:
            raise ValueError(f"{name} must be at least 0 and below 2**32; got {seed!r}")


def key_of(seed: Any) -> jax.Array:
    """The typed key of a seed that `require_seed` accepts."""
    if jnp.issubdtype(jnp.result_type(seed), jax.dtypes.prng_key):
        return seed
    return jax.random.key(seed) if jnp.ndim(seed) == 0 else jax.random.wrap_key_data(seed)


def key_data_of(seed: Any) -> jax.Array:
    """The data of the key of a seed, for a state: a new array, which may be donated."""
    data = jax.random.key_data(key_of(seed))
    # On an Explicit mesh, jit gives the sum the sharding that every update gives it, and so one program is compiled.
    return data + jnp.zeros(data.shape, data.dtype)


def path_hashes(tree: Any) -> np.ndarray:
    """Two words of 32 bits for each leaf, also for None: a hash of its path, which does not depend on other leaves."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]]
    hashes = b"".join(hashlib.blake2b(path.encode(), digest_size=8).digest() for path in paths)
    return np.frombuffer(hashes, "<u4").astype(np.uint32).reshape(-1, 2)


def leaf_keys(key: jax.Array, tree: Any) -> jax.Array:
    """A key for each leaf, from its path; leaves that are None count too."""
    return jax.vmap(lambda two: jax.random.fold_in(jax.random.fold_in(key, two[0]), two[1]))(path_hashes(tree))


def _is_seed(seed: Any) -> bool:
    if isinstance(seed, int):
        return not isinstance(seed, bool)
    if not hasattr(seed, "dtype"):
        return False
    whole = seed.shape == () and any(jnp.issubdtype(seed.dtype, k) for k in (np.integer, jax.dtypes.prng_key))
    return whole or (seed.dtype == np.uint32 and seed.shape == _raw_shape())


def _raw_shape() -> tuple[int, ...]:
    """The shape of a raw key of the implementation in use."""
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
