"""Optimistic descent under optax's names, arguments, order and defaults."""

from __future__ import annotations

import warnings
from typing import Any

import gradtx
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.protocol import optaxed
from gradtx.core.pair import GradientTransformation

__all__ = ["optimistic_adam", "optimistic_adam_v2", "optimistic_gradient_descent", "scale_by_optimistic_gradient"]

optimistic_gradient_descent = optaxed(gradtx.optimistic_gradient_descent)
scale_by_optimistic_gradient = optaxed(gradtx.scale_by_optimistic_gradient)


@optaxed
def optimistic_adam(
    learning_rate: Any,
    optimism: Any = None,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """Adam's steps times the learning rate, plus their changes times the optimism; optax calls it deprecated."""
    warnings.warn("`optimistic_adam` is deprecated, please use `optimistic_adam_v2` instead.", DeprecationWarning, 3)
    if callable(learning_rate):
        raise ValueError("optimistic_adam takes no schedule: use optimistic_adam_v2")
    make = gradtx.scale_by_nadam if nesterov else gradtx.scale_by_adam
    change = learning_rate if optimism is None else optimism
    tx = gradtx.chain(
        make(b1, b2, eps, eps_root), gradtx.scale_by_optimistic_gradient(learning_rate, change), gradtx.scale(-1.0)
    )
    return in_dtype(tx, mu_dtype, "mu")


@optaxed
def optimistic_adam_v2(
    learning_rate: Any,
    *,
    alpha: Any = 1.0,
    beta: Any = 1.0,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    nesterov: bool = True,
) -> GradientTransformation:
    """`gradtx.optimistic_adam`."""
    numbers = {"alpha": alpha, "beta": beta, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return in_dtype(gradtx.optimistic_adam(learning_rate, **numbers, nesterov=nesterov), mu_dtype, "mu")
