"""Optimizers that are not of Adam's family, under optax's names, arguments, order and defaults."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

import gradtx
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.pieces import (
    add_noise,
    require_variant,
    scale_by_factored_rms,
    scale_by_novograd,
)
from gradtx.compat.optax.protocol import optaxed
from gradtx.core.pair import GradientTransformation

__all__ = [
    "adadelta",
    "adafactor",
    "adagrad",
    "fromage",
    "lars",
    "noisy_sgd",
    "novograd",
    "polyak_sgd",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "signum",
    "sm3",
]

fromage = optaxed(gradtx.fromage)
rmsprop = optaxed(gradtx.rmsprop)
sign_sgd = optaxed(gradtx.sign_sgd)
sm3 = optaxed(gradtx.sm3)


@optaxed
def sgd(
    learning_rate: Any, momentum: Any = None, nesterov: bool = False, accumulator_dtype: Any = None
) -> GradientTransformation:
    """`gradtx.sgd`."""
    return in_dtype(gradtx.sgd(learning_rate, momentum, nesterov), accumulator_dtype, "trace")


@optaxed
def signum(learning_rate: Any, beta: Any = 0.9, accumulator_dtype: Any = None) -> GradientTransformation:
    """`gradtx.signum`."""
    return in_dtype(gradtx.signum(learning_rate, beta), accumulator_dtype, "mu")


@optaxed
def adagrad(learning_rate: Any, initial_accumulator_value: Any = 0.1, eps: Any = 1e-7) -> GradientTransformation:
    """`gradtx.adagrad`."""
    return gradtx.adagrad(learning_rate, initial_accumulator_value, eps)


@optaxed
def adadelta(
    learning_rate: Any = None, rho: Any = 0.9, eps: Any = 1e-6, weight_decay: Any = 0.0, weight_decay_mask: Any = None
) -> GradientTransformation:
    """`gradtx.adadelta`; None is a learning rate of 1, which descends."""
    return gradtx.adadelta(1.0 if learning_rate is None else learning_rate, rho, eps, weight_decay, weight_decay_mask)


@optaxed
def adafactor(
    learning_rate: Any = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Any = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: Any = True,
    clipping_threshold: Any = 1.0,
    momentum: Any = None,
    dtype_momentum: Any = jnp.float32,
    weight_decay_rate: Any = None,
    eps: Any = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adafactor as optax puts it together: the rate before momentum, and a decay that the rate does not multiply."""
    given = (
        clipping_threshold is not None and gradtx.clip_by_block_rms(clipping_threshold),
        learning_rate is not None and gradtx.scale_by_learning_rate(learning_rate, flip_sign=False),
        multiply_by_parameter_scale and gradtx.scale_by_param_block_rms(),
        momentum is not None and gradtx.ema(momentum, debias=False),
        weight_decay_rate is not None and gradtx.add_decayed_weights(weight_decay_rate, weight_decay_mask),
    )
    rms = scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    tx = gradtx.chain(rms, *(piece for piece in given if piece), gradtx.scale(-1.0))
    return tx if momentum is None or dtype_momentum == jnp.float32 else in_dtype(tx, dtype_momentum, "mu")


@optaxed
def lars(
    learning_rate: Any,
    weight_decay: Any = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: Any = 0.001,
    eps: Any = 0.0,
    trust_ratio_mask: Any = True,
    momentum: Any = 0.9,
    nesterov: bool = False,
) -> GradientTransformation:
    """`gradtx.lars`."""
    return gradtx.lars(
        learning_rate, weight_decay, weight_decay_mask, trust_coefficient, eps, trust_ratio_mask, momentum, nesterov
    )


@optaxed
def noisy_sgd(
    learning_rate: Any, eta: Any = 0.01, gamma: Any = 0.55, key: Any = None, *, seed: int | None = None
) -> GradientTransformation:
    """`add_noise`, then the learning rate."""
    return gradtx.chain(add_noise(eta, gamma, key, seed=seed), gradtx.scale_by_learning_rate(learning_rate))


@optaxed
def novograd(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.25,
    eps: Any = 1e-6,
    eps_root: Any = 0.0,
    weight_decay: Any = 0.0,
) -> GradientTransformation:
    """`scale_by_novograd`, then the learning rate."""
    return gradtx.chain(
        scale_by_novograd(b1, b2, eps, eps_root, weight_decay), gradtx.scale_by_learning_rate(learning_rate)
    )


@optaxed
def polyak_sgd(
    max_learning_rate: Any = 1.0, scaling: Any = 1.0, f_min: Any = 0.0, eps: Any = 0.0, variant: str = "sps"
) -> GradientTransformation:
    """`gradtx.polyak_sgd`; a loss below f_min has the rate 0, optax's variant sps+."""
    require_variant(variant)
    return gradtx.polyak_sgd(max_learning_rate, scaling, f_min, eps)


@optaxed
def rprop(
    learning_rate: Any,
    eta_minus: Any = 0.5,
    eta_plus: Any = 1.2,
    min_step_size: Any = 1e-6,
    max_step_size: Any = 50.0,
) -> GradientTransformation:
    """`gradtx.rprop`."""
    return gradtx.rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size)
