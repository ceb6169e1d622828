"""The optimizers that can be compared, and the rates each is tried at."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core.pair import GradientTransformation
from gradtx.optimizers.adadelta import adadelta
from gradtx.optimizers.adagrad import adagrad
from gradtx.optimizers.adam import adam, adamw
from gradtx.optimizers.adamax import adamax
from gradtx.optimizers.amsgrad import amsgrad
from gradtx.optimizers.lion import lion
from gradtx.optimizers.nadam import nadam
from gradtx.optimizers.rmsprop import rmsprop
from gradtx.optimizers.rprop import rprop, supersab
from gradtx.optimizers.sgd import sgd


class Contender(NamedTuple):
    """An optimizer as a function of its rate, with the rates it is tried at.

    full_batch: it compares the signs of one step's gradient with the last one's, which the noise of small batches
        hide; so it gets the whole training set at every step, and one step an epoch.
    """

    make: Callable[[Any], GradientTransformation]
    rates: tuple[float, ...]
    full_batch: bool = False


CONTENDERS: dict[str, Contender] = {
    "sgd": Contender(sgd, (0.01, 0.03, 0.1, 0.3)),
    "momentum": Contender(functools.partial(sgd, momentum=0.9), (0.003, 0.01, 0.03, 0.1)),
    "nesterov": Contender(functools.partial(sgd, momentum=0.9, nesterov=True), (0.003, 0.01, 0.03, 0.1)),
    "adagrad": Contender(adagrad, (0.01, 0.03, 0.1, 0.3)),
    "rmsprop": Contender(rmsprop, (0.0003, 0.001, 0.003, 0.01)),
    "adadelta": Contender(adadelta, (0.1, 0.3, 1.0, 3.0)),
    "adam": Contender(adam, (0.0003, 0.001, 0.003, 0.01)),
    "amsgrad": Contender(amsgrad, (0.0003, 0.001, 0.003, 0.01)),
    "adamw": Contender(functools.partial(adamw, weight_decay=0.01), (0.0003, 0.001, 0.003, 0.01)),
    "nadam": Contender(nadam, (0.0003, 0.001, 0.003, 0.01)),
    "adamax": Contender(adamax, (0.001, 0.003, 0.01, 0.03)),
    "lion": Contender(lion, (0.00003, 0.0001, 0.0003, 0.001)),
    "rprop": Contender(rprop, (0.0003, 0.001, 0.003, 0.01), full_batch=True),
    "supersab": Contender(supersab, (0.03, 0.1, 0.3, 1.0), full_batch=True),
}
"""Every optimizer of the demonstration by name, in the order in which they were invented, more or less."""


def sweep(make: Callable[[Any], GradientTransformation], rates: Sequence[float]) -> GradientTransformation:
    """One transformation with all the rates in it: its leaves are arrays `[rates]`, for `jax.vmap` to run over."""
    return jax.vmap(make)(jnp.asarray(rates, jnp.float32))
