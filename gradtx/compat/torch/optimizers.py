"""torch's other optimizers, as chains of gradtx's pieces: their values print, pickle and sweep as any other."""

from __future__ import annotations

from typing import Any

from gradtx.compat.terms import given, product
from gradtx.compat.torch.order import ascent, assembled
from gradtx.compat.torch.words import in_torch_words
from gradtx.core.chain import chain
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import product_schedules
from gradtx.moments import factored
from gradtx.optimizers.adadelta import scale_by_adadelta
from gradtx.optimizers.adafactor import adafactor, at_most_inverse_sqrt
from gradtx.optimizers.adagrad import accumulate_squares
from gradtx.optimizers.over_steps import asgd_rate
from gradtx.optimizers.rmsprop import scale_by_rms, scale_by_stddev
from gradtx.optimizers.rprop import scale_by_rprop
from gradtx.schedules.decay import inverse_time_schedule
from gradtx.transforms.basic import scale, scale_by_learning_rate
from gradtx.transforms.filters import nesterov_ema
from gradtx.transforms.momentum import add_damped_momentum, add_momentum, add_nesterov_momentum, ema
from gradtx.transforms.orthogonal import orthogonalize, scale_by_shape
from gradtx.wrappers.average import average
from gradtx.wrappers.decay import add_decayed_weights


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
        direction = add_momentum(momentum) if given(momentum) else None
    return assembled(lr, direction, weight_decay, maximize)


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
    more = (add_momentum(momentum),) if given(momentum) else ()
    return assembled(lr, (direction, *more), weight_decay, maximize)


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
    rate = product_schedules(lr, inverse_time_schedule(1.0, 1, lr_decay)) if given(lr_decay) else lr
    direction = accumulate_squares(initial_accumulator_value, eps, eps_in_sqrt=False)
    return assembled(rate, direction, weight_decay, maximize)


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
    return assembled(lr, scale_by_adadelta(rho, eps), weight_decay, maximize)


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

    torch bounds the second moment from below by eps[0]², where eps[0] is 2.2e-16 for float64 and 1.2e-7 for float32 if
    it is None. Here 1e-30 is added to the squares. So steps differ where gradients are below 1e-6 in float32: torch's
    are shorter.

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
    upwards = scale_by_learning_rate(at_most_inverse_sqrt(lr))  # adafactor descends already
    decay = (add_decayed_weights(product(lr, weight_decay)),) if given(weight_decay) else ()
    return chain(*ascent(maximize), steps, upwards, *decay, scale(-1.0))


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
    return chain(*ascent(maximize), scale_by_rprop(lr, *etas, *step_sizes), scale(-1.0))


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
    steps = assembled(asgd_rate(lr, lambd, alpha), add_decayed_weights(lambd), weight_decay, maximize)
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

    torch divides by the norm, or by eps if this is larger. Here eps is added to the norm, which is the same for all
    matrices with a norm far above it.

    Args:
        adjust_lr_fn: "original" (also None) or "match_rms_adamw".

    Raises: ValueError: another adjust_lr_fn.
    """
    shapes = {None: "keller", "original": "keller", "match_rms_adamw": "moonlight"}
    if adjust_lr_fn not in shapes:
        raise ValueError(f"Muon: adjust_lr_fn must be 'original' or 'match_rms_adamw'; got {adjust_lr_fn!r}")
    mean = nesterov_ema(momentum) if nesterov else ema(momentum, debias=False)
    polar = orthogonalize((tuple(ns_coefficients),) * ns_steps, eps, iterate_in="bfloat16")
    shape = scale_by_shape(shapes[adjust_lr_fn], outputs=-2)
    return assembled(lr, (mean, polar, shape), weight_decay, False, decoupled=True)
