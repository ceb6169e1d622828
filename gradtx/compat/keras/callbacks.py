"""Those of Keras' callbacks that change the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradtx.core.pair import GradientTransformation
from gradtx.core.schedule import Schedule, Term, at, schedule
from gradtx.errors import one_of, whole
from gradtx.transforms.plateau import reduce_on_plateau
from gradtx.wrappers.rules import arity

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


@schedule
def each_epoch(value: Term, steps_per_epoch: int):
    """A schedule of epochs: value(⌊step/steps_per_epoch⌋)."""
    whole(1, steps_per_epoch=steps_per_epoch)
    return lambda step: at(value, jnp.asarray(step) // steps_per_epoch)


def LearningRateScheduler(  # noqa: N802
    schedule: Callable[[Any], Any], verbose: int = 0, *, steps_per_epoch: int
) -> Schedule:
    """The learning rate of an optimizer: schedule(epoch). The function runs under jit.

    Args:
        schedule: a function of the epoch, which is 0 in the first.
        verbose: without meaning here.
        steps_per_epoch: updates in an epoch. Keras knows it from its data.

    Raises: TypeError: the function also takes the last learning rate: a schedule has no past.
    """
    if arity(schedule) > 1:
        raise TypeError(
            "LearningRateScheduler: the function must take the epoch alone: here a schedule has no past. Write the "
            "rate as a function of the epoch, for instance 0.1 * 0.9**epoch"
        )
    return each_epoch(schedule, steps_per_epoch)


def ReduceLROnPlateau(  # noqa: N802
    monitor: str = "val_loss",
    factor: Any = 0.1,
    patience: int = 10,
    verbose: int = 0,
    mode: str = "auto",
    min_delta: Any = 1e-4,
    cooldown: int = 0,
    min_lr: Any = 0.0,
    *,
    learning_rate: float | None = None,
) -> GradientTransformation:
    """A transformation that stands behind the optimizer: `chain(SGD(0.1), ReduceLROnPlateau())`.

    Each update takes `value=`, and counts as an epoch here. For the mean of an epoch use `gradtx.reduce_on_plateau`
    with its accumulation_size. A cooldown of n leaves out n - 1 values, as in Keras. The learning rate that the
    optimizer got does not change: `gradtx.reduce_on_plateau` says where the factor is.

    Args:
        monitor: the name of what is given as `value=`; only mode "auto" reads it.
        verbose: without meaning here.
        mode: "min", or "auto" for a loss or an error, as the name says. For what is to be large, such as an accuracy,
            give "min" and the negative value.
        learning_rate: that of the optimizer, to compare min_lr with; needed for min_lr above 0.

    Raises: ValueError: mode is "max", or "auto" for another name, which Keras would maximize or ask its metrics about;
        min_lr without learning_rate; an argument is out of range.
    """
    one_of(("auto", "min", "max"), mode=mode)
    if mode == "max":
        raise ValueError("ReduceLROnPlateau: mode must be 'auto' or 'min': for 'max' give value=-metric")
    if mode == "auto" and not monitor.endswith(("loss", "error", "mae", "mse")):
        raise ValueError(
            f"ReduceLROnPlateau: mode 'auto' does not say whether {monitor!r} is to be small: give mode='min' with "
            f"value=metric if it is, mode='min' with value=-metric if it is to be large"
        )
    if min_lr and learning_rate is None:
        raise ValueError(f"ReduceLROnPlateau: min_lr={min_lr!r} needs learning_rate, that of the optimizer")
    least = min_lr / learning_rate if learning_rate else 0.0
    return reduce_on_plateau(
        factor, max(patience, 1), rtol=0.0, atol=min_delta, cooldown=max(cooldown - 1, 0), min_scale=least
    )
