"""torch's optimizers. Each is a chain of gradtx's pieces, so its value prints, pickles and sweeps as any other."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from gradtx.compat.torch.words import in_torch_words
from gradtx.core.chain import chain
from gradtx.core.hyper import Number
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Term, at, is_schedule, product_schedules, schedule
from gradtx.moments import factored
from gradtx.optimizers.adadelta import scale_by_adadelta
from gradtx.optimizers.adafactor import adafactor, at_most_inverse_sqrt
from gradtx.optimizers.adagrad import accumulate_squares
from gradtx.optimizers.adam import scale_by_adam
from gradtx.optimizers.adamax import scale_by_adamax
from gradtx.optimizers.amsgrad import scale_by_amsgrad
from gradtx.optimizers.nadam import scale_by_scheduled_nadam
from gradtx.optimizers.over_steps import asgd_rate
from gradtx.optimizers.radam import scale_by_radam
from gradtx.optimizers.rmsprop import scale_by_rms, scale_by_stddev
from gradtx.optimizers.rprop import scale_by_rprop
from gradtx.schedules.decay import inverse_time_schedule
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.momentum import add_damped_momentum, add_momentum, add_nesterov_momentum, ema
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.average import average
from gradtx.wrappers.decay import add_decayed_weights


@schedule
def uncorrected(eps: Term, b2: Number):
    """The eps that, added to the root of a corrected second moment, is eps at the root of the uncorrected one.

    eps/√(1 - b2^t)        t = step + 1
    """
    return lambda step: at(eps, step) / jnp.sqrt(-jnp.expm1(math.log(b2) * (jnp.asarray(step) + 1.0)))


@in_torch_words
def SGD(  # noqa: N802
    lr: Any = 1e-3,
    momentum: Any = 0.0,
    dampening: Any = 0.0,
    weight_decay: Any = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    fused: bool | None = None,
) -> GradientTransformation:
    """torch's `SGD`: weight decay, momentum (damped or Nesterov's), then the rate.

    Raises: ValueError: nesterov without momentum or with dampening; an argument is out of range. TypeError: as all
        here, if the parameters are given.
    """
    if nesterov and (not momentum or dampening):
        raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")
    if nesterov:
        direction = add_nesterov_momentum(momentum)
    elif dampening:
        direction = add_damped_momentum(momentum, dampening)
    else:
        direction = add_momentum(momentum) if _given(momentum) else None
    return _assembled(lr, direction, weight_decay, maximize)


@in_torch_words
def Adam(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    amsgrad: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
    decoupled_weight_decay: bool = False,
) -> GradientTransformation:
    """torch's `Adam`: its weight decay is added to the gradient, unless decoupled; amsgrad has the raw maximum."""
    direction = scale_by_amsgrad(*betas, eps, maximum_of="raw") if amsgrad else scale_by_adam(*betas, eps)
    return _assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def AdamW(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> GradientTransformation:
    """torch's `AdamW`: `Adam` with decoupled weight decay, 0.01 unless given."""
    return Adam(lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


@in_torch_words
def SparseAdam(  # noqa: N802
    lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, maximize: bool = False
) -> GradientTransformation:
    """torch's `SparseAdam`: `Adam`; give it gradients as `RowSparse`, then rows without a gradient stay as they are."""
    return Adam(lr, betas, eps, maximize=maximize)


@in_torch_words
def NAdam(  # noqa: N802
    lr: Any = 2e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    momentum_decay: Any = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `NAdam`. torch keeps the product of the momenta in float32, unless its default type is float64."""
    direction = scale_by_scheduled_nadam(*betas, eps, momentum_decay=momentum_decay)
    return _assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def RAdam(  # noqa: N802
    lr: Any = 1e-3,
    betas: tuple[Any, float] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = False,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `RAdam`, which adds eps to the root of the uncorrected second moment."""
    direction = scale_by_radam(*betas, uncorrected(eps, betas[1]))
    return _assembled(lr, direction, weight_decay, maximize, decoupled_weight_decay)


@in_torch_words
def Adamax(  # noqa: N802
    lr: Any = 2e-3,
    betas: tuple[Any, Any] = (0.9, 0.999),
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    foreach: bool | None = None,
    *,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> GradientTransformation:
    """torch's `Adamax`."""
    return _assembled(lr, scale_by_adamax(*betas, eps), weight_decay, maximize)


@in_torch_words
def RMSprop(  # noqa: N802
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    momentum: Any = 0.0,
    centered: bool = False,
    capturable: bool = False,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `RMSprop`: eps is added to the root, and the rate multiplies the momentum when it leaves it."""
    direction = (scale_by_stddev if centered else scale_by_rms)(alpha, eps, eps_in_sqrt=False)
    more = (add_momentum(momentum),) if _given(momentum) else ()
    return _assembled(lr, (direction, *more), weight_decay, maximize)


@in_torch_words
def Adagrad(  # noqa: N802
    lr: Any = 1e-2,
    lr_decay: Any = 0.0,
    weight_decay: Any = 0.0,
    initial_accumulator_value: Any = 0.0,
    eps: Any = 1e-10,
    foreach: bool | None = None,
    *,
    maximize: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
) -> GradientTransformation:
    """torch's `Adagrad`: eps is added to the root, and the rate is lr/(1 + lr_decay·step)."""
    rate = product_schedules(lr, inverse_time_schedule(1.0, 1, lr_decay)) if _given(lr_decay) else lr
    direction = accumulate_squares(initial_accumulator_value, eps, eps_in_sqrt=False)
    return _assembled(rate, direction, weight_decay, maximize)


@in_torch_words
def Adadelta(  # noqa: N802
    lr: Any = 1.0,
    rho: Any = 0.9,
    eps: Any = 1e-6,
    weight_decay: Any = 0.0,
    foreach: bool | None = None,
    *,
    capturable: bool = False,
    maximize: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `Adadelta`."""
    return _assembled(lr, scale_by_adadelta(rho, eps), weight_decay, maximize)


@in_torch_words
def Adafactor(  # noqa: N802
    lr: Any = 1e-2,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, Any] = (None, 1e-3),
    d: Any = 1.0,
    weight_decay: Any = 0.0,
    *,
    foreach: bool | None = None,
    maximize: bool = False,
) -> GradientTransformation:
    """torch's `Adafactor`: the last two axes are factored, and the decay is lr·weight_decay also where 1/√t is less.

    Its eps[0] is the least second moment, and 2e-16 (of float64; 1e-7 of float32) where it is None. Here 1e-30 is added
    to the squares: zero gradients give zero steps in both.

    Raises: ValueError: eps[0] is given.
    """
    if eps[0] is not None:
        raise ValueError("Adafactor: gradtx has no least second moment; leave eps[0] None")
    steps = adafactor(
        1.0,
        decay_rate=-beta2_decay,
        clipping_threshold=d,
        relative_step=False,
        min_scale=eps[1],
        moment=factored(1e-30, axes=(-2, -1)),
    )
    ascent = scale_by_learning_rate(at_most_inverse_sqrt(lr))  # adafactor descends already
    decay = (add_decayed_weights(_product(lr, weight_decay)),) if _given(weight_decay) else ()
    return chain(*_ascent(maximize), steps, ascent, *decay, scale(-1.0))


@in_torch_words
def Rprop(  # noqa: N802
    lr: Any = 1e-2,
    etas: tuple[Any, Any] = (0.5, 1.2),
    step_sizes: tuple[Any, Any] = (1e-6, 50.0),
    *,
    capturable: bool = False,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
) -> GradientTransformation:
    """torch's `Rprop`. lr is the first step size, so it cannot be a schedule."""
    return chain(*_ascent(maximize), scale_by_rprop(lr, *etas, *step_sizes), scale(-1.0))


@in_torch_words
def ASGD(  # noqa: N802
    lr: Any = 1e-2,
    lambd: Any = 1e-4,
    alpha: Any = 0.75,
    t0: float = 1e6,
    weight_decay: Any = 0.0,
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> GradientTransformation:
    """torch's `ASGD`: read the average with `gradtx.averaged(state)`. lr cannot be a schedule."""
    steps = _assembled(asgd_rate(lr, lambd, alpha), add_decayed_weights(lambd), weight_decay, maximize)
    return average(steps, start=int(t0) + 1)


@in_torch_words
def Muon(  # noqa: N802
    lr: Any = 1e-3,
    weight_decay: Any = 0.1,
    momentum: Any = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
) -> GradientTransformation:
    """torch's `Muon`: every leaf must be a matrix, of shape (out, in). It iterates in bfloat16.

    eps keeps torch's division by the norm from 0/0; here a zero matrix stays zero without one, so it has no effect.

    Args:
        adjust_lr_fn: "original" (also None) or "match_rms_adamw".

    Raises: ValueError: another adjust_lr_fn.
    """
    shapes = {None: "keller", "original": "keller", "match_rms_adamw": "moonlight"}
    if adjust_lr_fn not in shapes:
        raise ValueError(f"Muon: adjust_lr_fn must be 'original' or 'match_rms_adamw'; got {adjust_lr_fn!r}")
    mean = nesterov_ema(momentum) if nesterov else ema(momentum, debias=False)
    polar = orthogonalize((tuple(ns_coefficients),) * ns_steps, iterate_in="bfloat16")
    shape = scale_by_shape(shapes[adjust_lr_fn], outputs=-2)
    return _assembled(lr, (mean, polar, shape), weight_decay, False, decoupled=True)


def _assembled(
    lr: Any, direction: Any, weight_decay: Any, maximize: bool, decoupled: bool = False
) -> GradientTransformation:
    """The order that all of torch's optimizers have."""
    decay = (add_decayed_weights(weight_decay),) if _given(weight_decay) else ()
    pieces = direction if isinstance(direction, tuple) else (direction,) if direction is not None else ()
    before, after = ((), decay) if decoupled else (decay, ())
    return chain(*_ascent(maximize), *before, *pieces, *after, scale_by_learning_rate(lr))


def _ascent(maximize: bool) -> tuple[GradientTransformation, ...]:
    return (scale(-1.0),) if maximize else ()


def _product(a: Any, b: Any) -> Any:
    return product_schedules(a, b) if is_schedule(a) or is_schedule(b) else a * b


def _given(value: Any) -> bool:
    """Whether it is not the number 0, torch's word for "without"."""
    return not (isinstance(value, int | float) and value == 0)
