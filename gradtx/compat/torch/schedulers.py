"""torch's schedulers as schedules. Each takes the learning rate where torch's takes the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from gradtx.compat.torch.words import in_torch_words
from gradtx.core.hyper import Number
from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Schedule, product_schedules, schedule
from gradtx.errors import at_least_one, one_of
from gradtx.schedules.cycles import (
    cosine_onecycle_schedule,
    cosine_restarts_schedule,
    cyclic_schedule,
    linear_onecycle_schedule,
)
from gradtx.schedules.decay import exponential_decay, linear_schedule, polynomial_schedule
from gradtx.schedules.piecewise import join_schedules, piecewise_constant_schedule
from gradtx.transforms.plateau import reduce_on_plateau


@in_torch_words
def LambdaLR(lr: Any, lr_lambda: Callable[[Any], Any]) -> Schedule:  # noqa: N802
    """lr·lr_lambda(step). The function runs under jit: no Python branches on the step."""
    return product_schedules(lr, lr_lambda)


@in_torch_words
def StepLR(lr: Any, step_size: int, gamma: Any = 0.1) -> Schedule:  # noqa: N802
    """lr·gamma^⌊step/step_size⌋."""
    return exponential_decay(lr, step_size, gamma, staircase=True)


@in_torch_words
def MultiStepLR(lr: Any, milestones: Sequence[int], gamma: Any = 0.1) -> Schedule:  # noqa: N802
    """lr, multiplied by gamma at each milestone; one that is named twice counts twice."""
    factors: dict[int, Any] = {}
    for step in sorted(milestones):
        factors[step] = factors.get(step, 1.0) * gamma
    return piecewise_constant_schedule(lr, factors)


@in_torch_words
def ConstantLR(lr: Any, factor: Any = 1.0 / 3.0, total_iters: int = 5) -> Schedule:  # noqa: N802
    """lr·factor for total_iters steps, then lr."""
    return product_schedules(lr, piecewise_constant_schedule(factor, {total_iters: 1.0 / factor}))


@in_torch_words
def LinearLR(  # noqa: N802
    lr: Any, start_factor: Any = 1.0 / 3.0, end_factor: Any = 1.0, total_iters: int = 5
) -> Schedule:
    """lr times a factor that goes from start_factor to end_factor in total_iters steps."""
    return product_schedules(lr, linear_schedule(start_factor, end_factor, total_iters))


@in_torch_words
def ExponentialLR(lr: Any, gamma: Any) -> Schedule:  # noqa: N802
    """lr·gamma^step."""
    return exponential_decay(lr, 1, gamma)


@in_torch_words
def PolynomialLR(lr: Any, total_iters: int = 5, power: Any = 1.0) -> Schedule:  # noqa: N802
    """lr·(1 - step/total_iters)^power, then 0."""
    return polynomial_schedule(lr, 0.0, power, total_iters)


@schedule
def CosineAnnealingLR(lr: Number, T_max: Number, eta_min: Number = 0.0):  # noqa: N802, N803
    """Half a cosine from lr to eta_min in T_max steps, and on: it rises again to lr until 2·T_max.

        eta_min + (lr - eta_min)·(1 + cos(π·step/T_max))/2

    Args:
        lr: the value at step 0.
        T_max: steps to the first minimum; at least 1.
        eta_min: the minimum.

    Source: torch's `CosineAnnealingLR`. `gradtx.cosine_decay_schedule` stays at its end instead.
    """
    at_least_one(T_max=T_max)
    return lambda step: eta_min + (lr - eta_min) * (1.0 + jnp.cos(math.pi * (jnp.asarray(step) / T_max))) / 2.0


@in_torch_words
def CosineAnnealingWarmRestarts(  # noqa: N802
    lr: Any,
    T_0: int,  # noqa: N803
    T_mult: int = 1,  # noqa: N803
    eta_min: Any = 0.0,
) -> Schedule:
    """Half cosines from lr to eta_min, the first of T_0 steps, each other T_mult times as long as the one before."""
    if eta_min == 0.0:
        return cosine_restarts_schedule(lr, T_0, T_mult)
    return eta_min + cosine_restarts_schedule(lr - eta_min, T_0, T_mult)


@in_torch_words
def CyclicLR(  # noqa: N802
    base_lr: Any,
    max_lr: Any,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: Any = 1.0,
) -> Schedule:
    """Triangles between base_lr and max_lr. It does not change a momentum: give that a schedule of its own."""
    one_of(("triangular", "triangular2", "exp_range"), mode=mode)
    halves, shrinks = (0.5 if mode == "triangular2" else 1.0), (gamma if mode == "exp_range" else 1.0)
    return cyclic_schedule(base_lr, max_lr, step_size_up, step_size_down, m_mul=halves, gamma=shrinks)


@in_torch_words
def OneCycleLR(  # noqa: N802
    max_lr: Any,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: Any = 25.0,
    final_div_factor: Any = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """Up from max_lr/div_factor to max_lr, and down to that over final_div_factor; the last step is total_steps - 1.

    With three_phase it goes down to max_lr/div_factor first.

    torch's scheduler sets the learning rate of all parameter groups, whatever they had, and unless cycle_momentum is
    False their momentum too, from max_momentum down to base_momentum and up again. Here the momentum has a schedule of
    its own: `SGD(OneCycleLR(0.1, 500), momentum=OneCycleLR(0.85, 500, div_factor=0.85 / 0.95, final_div_factor=1.0))`.
    Several max_lr: give each group of `param_groups` its own schedule.

    Raises: ValueError: neither total_steps nor both of epochs and steps_per_epoch; three phases with cosines.
    """
    one_of(("cos", "linear"), anneal_strategy=anneal_strategy)
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
        total_steps = epochs * steps_per_epoch
    last, peak = total_steps - 1, pct_start * total_steps - 1
    if not 0 < peak < last:
        raise ValueError(f"OneCycleLR: pct_start·total_steps must be above 1 and below total_steps; got {peak + 1:g}")
    if three_phase:
        if anneal_strategy == "cos":
            raise ValueError("OneCycleLR: three_phase is there with anneal_strategy='linear' only")
        return linear_onecycle_schedule(last, max_lr, peak / last, (2 * peak) / last, div_factor, final_div_factor)
    if anneal_strategy == "cos":
        return cosine_onecycle_schedule(last, max_lr, peak / last, div_factor, final_div_factor)
    first, end = max_lr / div_factor, max_lr / div_factor / final_div_factor
    return join_schedules((linear_schedule(first, max_lr, peak), linear_schedule(max_lr, end, last - peak)), (peak,))


@in_torch_words
def SequentialLR(schedulers: Sequence[Any], milestones: Sequence[int]) -> Schedule:  # noqa: N802
    """One schedule after another; each begins at its step 0 at its milestone."""
    return join_schedules(tuple(schedulers), tuple(milestones))


@in_torch_words
def ChainedScheduler(schedulers: Sequence[Any]) -> Schedule:  # noqa: N802
    """The product of schedules. Give the learning rate to one of them and 1.0 to the others."""
    return product_schedules(*schedulers)


@in_torch_words
def ReduceLROnPlateau(  # noqa: N802
    lr: float,
    mode: str = "min",
    factor: Any = 0.1,
    patience: int = 10,
    threshold: Any = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> GradientTransformation:
    """A transformation that stands behind the optimizer: `chain(SGD(0.1), ReduceLROnPlateau(0.1))`.

    Each update then takes `value=`, the loss. For the mean of an epoch use `gradtx.reduce_on_plateau` with its
    accumulation_size. torch's eps, which leaves out reductions by less than 1e-8, is not there. A better value is lower
    by threshold·|best| here; torch multiplies the best by 1 - threshold, which is higher than the best where it is < 0.

    Args:
        lr: that of the optimizer, to compare min_lr with.
        mode: "min"; for "max" give the negative value.

    Raises: ValueError: mode is "max"; an argument is out of range.
    """
    one_of(("rel", "abs"), threshold_mode=threshold_mode)
    if mode != "min":
        raise ValueError(f"ReduceLROnPlateau: mode must be 'min': for 'max' give value=-metric; got {mode!r}")
    tolerance = {"rtol" if threshold_mode == "rel" else "atol": threshold}
    unused = {"atol" if threshold_mode == "rel" else "rtol": 0.0}
    return reduce_on_plateau(factor, patience + 1, cooldown=cooldown, min_scale=min_lr / lr, **tolerance, **unused)
