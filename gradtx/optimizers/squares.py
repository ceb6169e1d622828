"""Optimizers with a rate for each entry, from the squares of its gradients: Adagrad, RMSProp, AdaDelta."""

from __future__ import annotations

from gradtx.core.chain import chain
from gradtx.core.schedule import Hyper, Number
from gradtx.core.transformation import transformation
from gradtx.transforms.adadelta import scale_by_adadelta
from gradtx.transforms.basic import scale_by_learning_rate
from gradtx.transforms.momentum import add_momentum, add_nesterov_momentum
from gradtx.transforms.rms import scale_by_rms, scale_by_stddev
from gradtx.transforms.squares import accumulate_squares


@transformation
def adagrad(
    learning_rate: Hyper,
    initial_accumulator_value: Number = 0.1,
    eps: Hyper = 1e-7,
    *,
    eps_in_sqrt: bool = True,
):
    """Adagrad: `accumulate_squares`, then the rate.

    Args:
        learning_rate: at least 0; 1e-2 and 1e-3 are usual.
        initial_accumulator_value, eps, eps_in_sqrt: as in `accumulate_squares`.

    State: a chain's dict, with one entry: `AccumulateSquaresState`.
    Source: Duchi, Hazan & Singer 2011. Defaults as optax and Keras; torch: initial 0, eps 1e-10 outside the root.
    """
    return chain(
        accumulate_squares(initial_accumulator_value, eps, eps_in_sqrt=eps_in_sqrt),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def rmsprop(
    learning_rate: Hyper,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    rate_in_momentum: bool = True,
):
    """RMSProp: `scale_by_rms` (or `scale_by_stddev` where centered), then the rate; with momentum, after the rate.

    Args:
        learning_rate: at least 0; 1e-3 is usual.
        decay, eps, initial_scale, eps_in_sqrt, bias_correction: as in `scale_by_rms`.
        centered: divide by the standard deviation, `scale_by_stddev`.
        momentum: `decay` of `add_momentum` over the scaled step; None for none.
        nesterov: use `add_nesterov_momentum` for it.
        rate_in_momentum: the rate before the momentum, so inside its buffer (optax, Keras), or after it (torch). They
            differ when the rate changes.

    State: a chain's dict, with one entry: `ScaleByRmsState` or `ScaleByStddevState`, and the momentum's, if any.
    Raises: ValueError: nesterov without momentum.
    Source: Tieleman & Hinton 2012; Graves 2013 where centered. torch's: decay 0.99, eps_in_sqrt False, rate_in_momentum
        False. Keras': eps 1e-7.
    """
    scaling = scale_by_stddev if centered else scale_by_rms
    scaled = scaling(decay, eps, initial_scale, eps_in_sqrt=eps_in_sqrt, bias_correction=bias_correction)
    rate = scale_by_learning_rate(learning_rate)
    if momentum is None:
        if nesterov:
            raise ValueError("nesterov needs a momentum, for instance momentum=0.9")
        return chain(scaled, rate)
    trace = (add_nesterov_momentum if nesterov else add_momentum)(momentum)
    return chain(scaled, rate, trace) if rate_in_momentum else chain(scaled, trace, rate)


@transformation
def adadelta(learning_rate: Hyper = 1.0, rho: Hyper = 0.9, eps: Hyper = 1e-6):
    """AdaDelta: `scale_by_adadelta`, then the rate, which may stay 1.

    Args:
        learning_rate: at least 0; 1, the default, is the paper.
        rho, eps: as in `scale_by_adadelta`.

    State: a chain's dict, with one entry: `ScaleByAdadeltaState`.
    Source: Zeiler 2012 (arXiv:1212.5701). torch: rate 1 too. Keras: rate 0.001, rho 0.95, eps 1e-7. optax's default
        rate of None leaves out the minus as well, so that `optax.adadelta()` ascends; this descends.
    """
    return chain(scale_by_adadelta(rho, eps), scale_by_learning_rate(learning_rate))
