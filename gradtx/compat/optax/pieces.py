"""Pieces under optax's names, arguments, order and defaults: clips, momentum, noise, and what divides or scales."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

import gradtx
from gradtx import moments, rates
from gradtx.compat.optax.dtypes import in_dtype
from gradtx.compat.optax.errors import refuse
from gradtx.compat.optax.protocol import optaxed
from gradtx.core.pair import GradientTransformation
from gradtx.optimizers.adafactor import growing_decay
from gradtx.optimizers.novograd import from_the_first

__all__ = [
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_noise",
    "centralize",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "ema",
    "identity",
    "keep_params_nonnegative",
    "normalize_by_update_norm",
    "scale",
    "scale_by_adadelta",
    "scale_by_distance_over_gradients",
    "scale_by_factored_rms",
    "scale_by_learning_rate",
    "scale_by_novograd",
    "scale_by_param_block_rms",
    "scale_by_polyak",
    "scale_by_rms",
    "scale_by_rprop",
    "scale_by_rss",
    "scale_by_schedule",
    "scale_by_sign",
    "scale_by_sm3",
    "scale_by_stddev",
    "scale_by_trust_ratio",
    "set_to_zero",
    "trace",
    "zero_nans",
]

adaptive_grad_clip = optaxed(gradtx.adaptive_grad_clip)
add_decayed_weights = optaxed(gradtx.add_decayed_weights)
clip_by_block_rms = optaxed(gradtx.clip_by_block_rms)
clip_by_global_norm = optaxed(gradtx.clip_by_global_norm)
identity = optaxed(gradtx.identity)
normalize_by_update_norm = optaxed(gradtx.normalize_by_update_norm)
scale = optaxed(gradtx.scale)
scale_by_adadelta = optaxed(gradtx.scale_by_adadelta)
scale_by_param_block_rms = optaxed(gradtx.scale_by_param_block_rms)
scale_by_rms = optaxed(gradtx.scale_by_rms)
scale_by_sign = optaxed(gradtx.scale_by_sign)
scale_by_stddev = optaxed(gradtx.scale_by_stddev)
scale_by_trust_ratio = optaxed(gradtx.scale_by_trust_ratio)
set_to_zero = optaxed(gradtx.set_to_zero)
zero_nans = optaxed(gradtx.zero_nans)


@optaxed
def add_noise(eta: Any, gamma: Any, key: Any = None, *, seed: int | None = None) -> GradientTransformation:
    """`gradtx.add_noise`, with a key or optax's older word for it, seed."""
    return gradtx.add_noise(eta, gamma, key_or_seed("add_noise", key, seed))


def key_or_seed(who: str, key: Any, seed: Any) -> Any:
    """The one of the two that is given; 0 if none is. ValueError: both are."""
    if key is not None and seed is not None:
        raise ValueError(f"{who} takes key or seed, one of the two; got key={key!r}, seed={seed!r}")
    return (0 if seed is None else seed) if key is None else key


@optaxed
def centralize() -> GradientTransformation:
    """`gradtx.centralize`, with the outputs in the first axis."""
    return gradtx.centralize(0)


@optaxed
def clip(max_delta: Any) -> GradientTransformation:
    """`gradtx.clip_by_value`."""
    return gradtx.clip_by_value(max_delta)


@optaxed
def ema(decay: Any, debias: bool = True, accumulator_dtype: Any = None) -> GradientTransformation:
    """`gradtx.ema`."""
    return in_dtype(gradtx.ema(decay, debias), accumulator_dtype, "mu")


@optaxed
def trace(decay: Any, nesterov: bool = False, accumulator_dtype: Any = None) -> GradientTransformation:
    """`gradtx.add_momentum` or `gradtx.add_nesterov_momentum`."""
    make = gradtx.add_nesterov_momentum if nesterov else gradtx.add_momentum
    return in_dtype(make(decay), accumulator_dtype, "trace")


@optaxed
def keep_params_nonnegative() -> GradientTransformation:
    """`gradtx.project_onto` the nonnegative numbers."""
    return gradtx.project_onto(gradtx.identity(), gradtx.sets.nonnegative())


@optaxed
def scale_by_learning_rate(learning_rate: Any = None, *, flip_sign: bool = True) -> GradientTransformation:
    """`gradtx.scale_by_learning_rate`; None changes nothing, not even the sign."""
    if learning_rate is None:
        return gradtx.identity()
    return gradtx.scale_by_learning_rate(learning_rate, flip_sign=flip_sign)


@optaxed
def scale_by_schedule(step_size_fn: Any) -> GradientTransformation:
    """`gradtx.scale` by a schedule."""
    return gradtx.scale(step_size_fn)


@optaxed
def scale_by_rss(initial_accumulator_value: Any = 0.1, eps: Any = 1e-7) -> GradientTransformation:
    """`gradtx.accumulate_squares`."""
    return gradtx.accumulate_squares(initial_accumulator_value, eps)


@optaxed
def scale_by_sm3(b1: Any = 0.9, b2: Any = 1.0, eps: Any = 1e-8) -> GradientTransformation:
    """The two pieces of `gradtx.sm3`."""
    refuse("scale_by_sm3", "the squares are summed, as in the paper", b2=(b2, 1.0))
    squares = gradtx.accumulate_squares(0.0, eps, moment=moments.max_of_axes())
    return gradtx.chain(squares, gradtx.ema(b1, debias=False))


@optaxed
def scale_by_novograd(
    b1: Any = 0.9,
    b2: Any = 0.25,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    weight_decay: Any = 0.0,
    mu_dtype: Any = None,
) -> GradientTransformation:
    """The pieces of `gradtx.novograd` without the learning rate."""
    square = moments.per_leaf(total=True)
    tx = gradtx.chain(
        gradtx.divide_by_rms(
            gradtx.identity(), from_the_first(b2), eps, eps_root, bias_correction=False, moment=square
        ),
        gradtx.add_decayed_weights(weight_decay),
        gradtx.add_momentum(b1),
    )
    return in_dtype(tx, mu_dtype, "trace")


@optaxed
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Any = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Any = 1e-30,
    decay_rate_fn: Any = None,
) -> GradientTransformation:
    """`gradtx.scale_by_rms` with a factored moment, and a weight of the past that grows with the steps."""
    weight = decay_rate_fn or (lambda step, power: growing_decay(power)(step))
    decay = growing_decay(decay_rate)
    if decay_rate_fn is not None or not (isinstance(step_offset, int) and step_offset == 0):
        decay = gradtx.function_schedule(lambda step: weight(step - step_offset, decay_rate))
    kept = moments.factored(epsilon, min_dim_size=min_dim_size_to_factor if factored else 2**31 - 1)
    return gradtx.scale_by_rms(decay, 0.0, moment=kept)


def require_variant(variant: str) -> None:
    """Raise ValueError for an unknown variant of Polyak's rate."""
    if variant not in ("sps", "sps+"):
        raise ValueError(f"Invalid argument value for scale_by_polyak: variant={variant!r}; give 'sps' or 'sps+'")


@optaxed
def scale_by_polyak(
    f_min: Any = 0.0, max_learning_rate: Any = 1.0, eps: Any = 0.0, variant: str = "sps"
) -> GradientTransformation:
    """The rate of `gradtx.polyak_sgd`; a loss below f_min has the rate 0, optax's variant sps+."""
    require_variant(variant)
    return gradtx.adapt_learning_rate(gradtx.identity(), rates.polyak(f_min, max_learning_rate, eps))


@optaxed
def scale_by_distance_over_gradients(
    reps_rel: Any = 1e-6, eps: Any = 1e-8, param_dtype: Any = jnp.float32, global_scale: Any = 1.0
) -> GradientTransformation:
    """L-DoG uphill: `gradtx.adapt_learning_rate` with a rate for each leaf."""
    refuse("scale_by_distance_over_gradients", "the start is kept in float32", param_dtype=(param_dtype, jnp.float32))
    learnt = gradtx.adapt_learning_rate(gradtx.identity(), rates.distance(reps_rel, eps), per="leaf")
    return gradtx.chain(learnt, gradtx.scale(global_scale))


@optaxed
def scale_by_rprop(
    learning_rate: Any,
    eta_minus: Any = 0.5,
    eta_plus: Any = 1.2,
    min_step_size: Any = 1e-6,
    max_step_size: Any = 50.0,
) -> GradientTransformation:
    """`gradtx.scale_by_rprop`."""
    return gradtx.scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size)
