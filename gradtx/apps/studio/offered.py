"""Which optimizers the page offers, with the ranges of their sliders; what each of them does is the library's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

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

NONE: Mapping[str, Any] = MappingProxyType({})


class Slider(NamedTuple):
    """How a hyperparameter is set.

    scale: "log", from 0 too; "linear"; "complement", fine near 1, for the weight of the past; "flag"; or "choice".
    least, most: the range, which the optimizer allows; for the last two scales None.
    value: at first; None for the optimizer's own default. options: of a choice.
    """

    scale: str
    least: float | None = None
    most: float | None = None
    value: Any = None
    options: tuple[str, ...] = ()

    @property
    def is_static(self) -> bool:
        """Whether it chooses between programs, and is no number in one."""
        return self.scale in ("flag", "choice")


class Offered(NamedTuple):
    """An optimizer of the page: a recipe, what is fixed of its call, and what can be set."""

    label: str
    recipe: Callable[..., GradientTransformation]
    sliders: Mapping[str, Slider]
    fixed: Mapping[str, Any] = NONE


def _rate(value: float | None = None) -> Slider:
    return Slider("log", 1e-6, 10.0, value)


FLAG, UP_TO_ONE, BELOW_ONE = Slider("flag"), Slider("complement", 0.0, 1.0), Slider("complement", 0.0, 0.99999)
SMALL, START, POSITIVE = Slider("log", 0.0, 1.0), Slider("log", 0.0, 1e4), Slider("log", 1e-12, 1.0)
LARGE, SHRINK, GROW = Slider("log", 1e-3, 1e3), Slider("linear", 0.0, 0.99), Slider("linear", 1.0, 2.0)
MOMENTUM = UP_TO_ONE._replace(value=0.9)

MOMENTS = {"b1": BELOW_ONE, "b2": BELOW_ONE, "eps": SMALL, "eps_root": SMALL}
RMS = {
    "learning_rate": _rate(0.05),
    "decay": UP_TO_ONE,
    "eps": SMALL,
    "initial_scale": START,
    "eps_in_sqrt": FLAG,
    "momentum": MOMENTUM._replace(value=0.0),  # which passes the step on, to the bit
    "nesterov": FLAG,
}

OFFERED: Mapping[str, Offered] = MappingProxyType(
    {
        "sgd": Offered("Gradient descent", sgd, {"learning_rate": _rate(0.02)}),
        "momentum": Offered(
            "Momentum",
            sgd,
            {"learning_rate": _rate(0.005), "momentum": MOMENTUM, "dampening": Slider("linear", 0.0, 1.0, 0.0)},
        ),
        "nesterov": Offered(
            "Nesterov momentum", sgd, {"learning_rate": _rate(0.005), "momentum": MOMENTUM}, {"nesterov": True}
        ),
        "adagrad": Offered(
            "Adagrad",
            adagrad,
            {"learning_rate": _rate(1.0), "initial_accumulator_value": START, "eps": SMALL, "eps_in_sqrt": FLAG},
        ),
        "rmsprop": Offered("RMSProp", rmsprop, RMS),
        "rmsprop_centered": Offered("RMSProp, centered", rmsprop, RMS, {"centered": True}),
        "adadelta": Offered("AdaDelta", adadelta, {"learning_rate": _rate(), "rho": UP_TO_ONE, "eps": POSITIVE}),
        "adam": Offered("Adam", adam, {"learning_rate": _rate(0.2), **MOMENTS}),
        "adamw": Offered(
            "AdamW", adamw, {"learning_rate": _rate(0.2), **MOMENTS, "weight_decay": SMALL, "nesterov": FLAG}
        ),
        "amsgrad": Offered(
            "AMSGrad",
            amsgrad,
            {
                "learning_rate": _rate(0.2),
                **MOMENTS,
                "maximum_of": Slider("choice", options=("corrected", "raw")),
            },
        ),
        "nadam": Offered("NAdam", nadam, {"learning_rate": _rate(0.2), **MOMENTS}),
        "nadam_scheduled": Offered(
            "NAdam, rising b1",
            nadam,
            {"learning_rate": _rate(0.2), **MOMENTS, "momentum_decay": SMALL._replace(value=0.004)},
        ),
        "adamax": Offered(
            "AdaMax", adamax, {"learning_rate": _rate(0.2), "b1": BELOW_ONE, "b2": BELOW_ONE, "eps": SMALL}
        ),
        "lion": Offered(
            "Lion",
            lion,
            {"learning_rate": _rate(0.05), "b1": UP_TO_ONE, "b2": UP_TO_ONE, "weight_decay": SMALL},
        ),
        "rprop": Offered(
            "Rprop",
            rprop,
            {
                "learning_rate": _rate(0.1),
                "eta_minus": SHRINK,
                "eta_plus": GROW,
                "min_step_size": POSITIVE,
                "max_step_size": LARGE,
            },
        ),
        "supersab": Offered(
            "SuperSAB",
            supersab,
            {
                "learning_rate": _rate(),
                "eta_minus": SHRINK,
                "eta_plus": GROW,
                "momentum": BELOW_ONE,
                "min_learning_rate": POSITIVE,
                "max_learning_rate": LARGE,
            },
        ),
    }
)
"""By name, in the order in which they were invented, more or less. `lbfgs` is not among them: its line search needs
the function itself inside an update, and its state keeps pairs of steps."""
