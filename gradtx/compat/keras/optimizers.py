"""Keras' optimizers but those after Adam, as chains of gradtx's pieces: their values print, pickle and sweep."""

from __future__ import annotations

from typing import Any

from gradtx.compat.keras.adam import corrected_late
from gradtx.compat.keras.around import optimizer
from gradtx.compat.keras.ftrl import scale_by_ftrl_from_zero
from gradtx.compat.keras.pieces import decayed_first, on_two_axes, stepped, with_momentum
from gradtx.compat.terms import given, product
from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.moments import factored
from gradtx.optimizers.adadelta import scale_by_adadelta
from gradtx.optimizers.adafactor import adafactor, at_most_inverse_sqrt
from gradtx.optimizers.adagrad import accumulate_squares
from gradtx.optimizers.lion import scale_by_lion
from gradtx.optimizers.rmsprop import scale_by_rms, scale_by_stddev
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, add_nesterov_momentum
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.decay import add_decayed_weights


@optimizer
def SGD(  # noqa: N802
    learning_rate: Any = 0.01, momentum: Any = 0.0, nesterov: bool = False, weight_decay: Any = None
) -> GradientTransformation:
    """Keras' `SGD`: the momentum sums steps, with the rates of their time; without a momentum, nesterov means nothing.

    Raises: ValueError: an argument is out of range. TypeError: as all here, for a word that Keras does not have.
    """
    if not given(momentum):
        return stepped(learning_rate, weight_decay)
    kind = add_nesterov_momentum if nesterov else add_momentum
    return with_momentum(learning_rate, weight_decay, kind(momentum))


@optimizer
def RMSprop(  # noqa: N802
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `RMSprop`: epsilon is inside the root, and the momentum sums steps."""
    direction = (scale_by_stddev if centered else scale_by_rms)(rho, epsilon)
    if not given(momentum):
        return stepped(learning_rate, weight_decay, direction)
    return with_momentum(learning_rate, weight_decay, add_momentum(momentum), direction)


@optimizer
def Adagrad(  # noqa: N802
    learning_rate: Any = 0.001, initial_accumulator_value: Any = 0.1, epsilon: Any = 1e-7, weight_decay: Any = None
) -> GradientTransformation:
    """Keras' `Adagrad`: epsilon is inside the root."""
    return stepped(learning_rate, weight_decay, accumulate_squares(initial_accumulator_value, epsilon))


@optimizer
def Adadelta(  # noqa: N802
    learning_rate: Any = 0.001, rho: Any = 0.95, epsilon: Any = 1e-7, weight_decay: Any = None
) -> GradientTransformation:
    """Keras' `Adadelta`, whose learning rate of 0.001 makes it a thousand times as slow as the paper's."""
    return stepped(learning_rate, weight_decay, scale_by_adadelta(rho, epsilon))


@optimizer
def Adafactor(  # noqa: N802
    learning_rate: Any = 0.001,
    beta_2_decay: float = -0.8,
    epsilon_1: float = 1e-30,
    epsilon_2: Any = 1e-3,
    clip_threshold: Any = 1.0,
    relative_step: bool = True,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Adafactor`: the last two axes are factored. Its rate is at most 1/√t also with relative_step=False."""
    steps = adafactor(
        1.0,
        decay_rate=-beta_2_decay,
        clipping_threshold=clip_threshold,
        relative_step=False,
        min_scale=epsilon_2,
        moment=factored(epsilon_1, axes=(-2, -1)),
    )
    downwards = scale_by_learning_rate(at_most_inverse_sqrt(learning_rate), flip_sign=False)  # adafactor descends
    return decayed_first(chain(steps, downwards), learning_rate, weight_decay)


@optimizer
def Ftrl(  # noqa: N802
    learning_rate: Any = 0.001,
    learning_rate_power: Any = -0.5,
    initial_accumulator_value: Any = 0.1,
    l1_regularization_strength: Any = 0.0,
    l2_regularization_strength: Any = 0.0,
    l2_shrinkage_regularization_strength: Any = 0.0,
    beta: Any = 0.0,
    weight_decay: Any = None,
) -> GradientTransformation:
    """Keras' `Ftrl`: parameters that do not begin at 0 jump there in the first step. `gradtx.ftrl` does not."""
    step = scale_by_ftrl_from_zero(
        learning_rate,
        learning_rate_power,
        initial_accumulator_value,
        l1_regularization_strength,
        l2_regularization_strength,
        l2_shrinkage_regularization_strength,
        beta,
    )
    return decayed_first(chain(step), learning_rate, weight_decay)


@optimizer
def Lion(  # noqa: N802
    learning_rate: Any = 0.001, beta_1: Any = 0.9, beta_2: Any = 0.99, weight_decay: Any = None
) -> GradientTransformation:
    """Keras' `Lion`."""
    return stepped(learning_rate, weight_decay, scale_by_lion(beta_1, beta_2))


@optimizer
def Muon(  # noqa: N802
    learning_rate: Any = 0.001,
    adam_beta_1: Any = 0.9,
    adam_beta_2: Any = 0.999,
    adam_weight_decay: Any = 0.004,
    epsilon: Any = 1e-7,
    weight_decay: Any = 0.004,
    *,
    exclude_layers: Any = None,
    exclude_embeddings: bool = True,
    muon_a: float = 3.4445,
    muon_b: float = -4.7750,
    muon_c: float = 2.0315,
    adam_lr_ratio: Any = 1,
    momentum: Any = 0.95,
    ns_steps: int = 5,
    nesterov: bool = True,
    rms_rate: Any = 0.2,
) -> GradientTransformation:
    """Keras' `Muon`: for leaves of two axes, the last layer among them; AdamW for the others.

    Paths are those of the parameters: give a dict with Keras' `variable.path` as keys, or a nested one.
    """
    mean = (add_nesterov_momentum if nesterov else add_momentum)(momentum)
    polar = orthogonalize(((muon_a, muon_b, muon_c),) * ns_steps, 1e-7)
    length = () if rms_rate is None else (scale_by_shape("longest"), scale(rms_rate))
    adam, rate = corrected_late(adam_beta_1, adam_beta_2, epsilon), product(learning_rate, adam_lr_ratio)
    decay = (add_decayed_weights(product(learning_rate, adam_weight_decay)),) if given(adam_weight_decay) else ()
    return on_two_axes(
        stepped(learning_rate, weight_decay, mean, polar, *length),
        chain(adam, scale_by_learning_rate(rate, flip_sign=False), *decay, scale(-1.0)),
        exclude_embeddings,
        tuple(exclude_layers or ()),
    )
