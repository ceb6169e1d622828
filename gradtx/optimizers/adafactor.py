"""Adafactor: steps in proportion to the parameters, with a second moment of rows and columns."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradtx.core.chain import chain
from gradtx.core.hyper import Hyper, Number
from gradtx.core.schedule import Term, at, schedule
from gradtx.core.transformation import transformation
from gradtx.errors import non_negative
from gradtx.moments.factored import factored
from gradtx.moments.moment import Moment
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.clipping import clip_by_block_rms
from gradtx.transforms.momentum import ema
from gradtx.transforms.parameter_scale import scale_by_param_block_rms
from gradtx.wrappers.decay import add_decayed_weights

TWO_LONGEST = factored(min_dim_size=128)


@schedule
def growing_decay(power: Number):
    """The weight of the past of Adafactor, 1 - t^-power in step t: 0 in the first, towards 1 later."""
    return lambda step: 1.0 - (jnp.asarray(step) + 1.0) ** -power


@schedule
def at_most_inverse_sqrt(value: Term):
    """A value, or 1/√t in step t where this is less."""
    return lambda step: jnp.minimum(at(value, step), 1.0 / jnp.sqrt(jnp.asarray(step) + 1.0))


@transformation
def adafactor(
    learning_rate: Hyper = 1e-2,
    *,
    decay_rate: Number = 0.8,
    clipping_threshold: Hyper | None = 1.0,
    momentum: Hyper | None = None,
    relative_step: bool = True,
    multiply_by_parameter_scale: bool = True,
    min_scale: Hyper = 1e-3,
    moment: Moment = TWO_LONGEST,
    weight_decay: Hyper | None = None,
    mask: Any = None,
):
    """Adafactor: `scale_by_rms` with a factored moment, `clip_by_block_rms`, `scale_by_param_block_rms`, then a rate.

        b_t = 1 - t^-decay_rate      the decay of `scale_by_rms`: 0 in the first step
        ρ_t = min(learning_rate, 1/√t)      with relative_step, else learning_rate

    The dialects, by their arguments:

    * the paper: `adafactor()`; Keras with learning_rate 1e-3. torch, Keras and Hugging Face factor the last two axes of
      any length, `moment=moments.factored(axes=(-2, -1))`; torch without an eps.
    * optax, and Hugging Face with a rate of one's own: `adafactor(rate, relative_step=False)`.
    * T5: `adafactor(gradtx.inverse_sqrt_schedule(0.01, 0.01, 10_000), relative_step=False)`.
    * PaLM: `adafactor(rate, momentum=0.9, relative_step=False, moment=moments.full())`, behind a clip by global norm.
    * Hugging Face's warm-up: `adafactor(lambda step: 1e-6 * (step + 1))`.

    Args:
        learning_rate: at least 0; with multiply_by_parameter_scale in units of the root mean square of a leaf.
        decay_rate: the power in b_t; greater than 0.
        clipping_threshold: as in `clip_by_block_rms`; None for no clip.
        momentum: `decay` of `ema`, without bias correction, applied to scaled updates; None for no momentum.
        relative_step: let the rate be at most 1/√t.
        multiply_by_parameter_scale: use `scale_by_param_block_rms`; without it, steps are in parameter units.
        min_scale: as in `scale_by_param_block_rms`.
        moment: the second moment, as in `divide_by_rms`; `moments.factored(eps, min_dim_size=128)` unless given, which
            adds eps, 1e-30, to the squares.
        weight_decay: as in `add_decayed_weights`; None for no decay. It is multiplied by the rate.
        mask: which leaves decay, as in `masked`: `"**/kernel"`; None for all.

    State: a chain's dict: of `scale_by_rms` a `HyperparametersState` with the decay in use, and in it, for matrices,
        the means of rows and columns; of `ema`, if there is momentum; the rate in use. Its update needs `params`,
        unless it has neither parameter scale nor decay.
    Raises: ValueError: an argument is out of range.
    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithms 4 and 5. The rate comes last: optax and T5 apply
        momentum to steps that have it, which makes a difference when it changes. optax adds weight_decay·w without the
        rate; torch and Keras multiply it by learning_rate also where 1/√t is less. Within 150 ulp of exact arithmetic
        over 1,000 steps in float32: the weight 1 - b_t of a square has fewer digits than a float.
    """
    non_negative(learning_rate=learning_rate)
    given = (
        clipping_threshold is not None and clip_by_block_rms(clipping_threshold),
        multiply_by_parameter_scale and scale_by_param_block_rms(min_scale),
        momentum is not None and ema(momentum, debias=False),
        weight_decay is not None and add_decayed_weights(weight_decay, mask),
    )
    return chain(
        scale_by_rms(growing_decay(decay_rate), 0.0, moment=moment),
        *(piece for piece in given if piece),
        scale_by_learning_rate(at_most_inverse_sqrt(learning_rate) if relative_step else learning_rate),
    )
