"""Estimates of curvature from a function of the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import flatten, is_trained, leaf_names
from gradtx.transforms.line import like_trained, on_trained
from gradtx.transforms.seeds import leaf_keys
from gradtx.transforms.vectors import trained


def hessian_diagonal(value_fn: Any, params: Any, key: jax.Array) -> Any:
    """Hutchinson's unbiased estimate r∘(H·r) of the diagonal of the Hessian; None for leaves that are not trained.

    The signs r of a leaf depend on the key and on its path. The estimate is exact where the Hessian is diagonal.
    """
    ws = trained(params)
    keys = [k for k, p in zip(leaf_keys(key, params), flatten(params)[0], strict=True) if is_trained(p)]
    signs = [jax.random.rademacher(k, w.shape, w.dtype) for k, w in zip(keys, ws, strict=True)]
    products = jax.jvp(jax.grad(on_trained(value_fn, params)), (ws,), (signs,))[1]
    return like_trained(params, [r * x for r, x in zip(signs, products, strict=True)])


def gradient(value_fn: Any, params: Any) -> Any:
    """The gradient of a function of the parameters; None for leaves that are not trained."""
    return like_trained(params, jax.grad(on_trained(value_fn, params))(trained(params)))


def require_real(name: str, params: Any) -> None:
    """Raise TypeError, which names the leaf, if a trained parameter is complex."""
    for leaf, p in zip(leaf_names(params), flatten(params)[0], strict=True):
        if is_trained(p) and jnp.issubdtype(jnp.result_type(p), jnp.complexfloating):
            raise TypeError(f"{name}: {leaf} is complex; give its real and imaginary parts as leaves of their own")
