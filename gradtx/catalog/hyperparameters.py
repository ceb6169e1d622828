"""What hyperparameters are, and the ranges in which an editor may set them, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Range(NamedTuple):
    """How an editor sets a hyperparameter.

    scale: "log", which may begin at 0; "linear"; "complement", fine near 1, for weights of the past; "flag"; "choice".
    least, most: the range, which every factory that has the hyperparameter accepts; None for a flag or a choice.
    options: of a choice.
    """

    scale: str
    least: float | None = None
    most: float | None = None
    options: tuple[str, ...] = ()

    @property
    def is_static(self) -> bool:
        """Whether it chooses between programs and is not a number in one."""
        return self.scale in ("flag", "choice")


class Hyperparameter(NamedTuple):
    """A hyperparameter that has one meaning wherever it occurs: its usual range, and what it is in a few words."""

    range: Range
    about: str


RATE = Range("log", 1e-6, 10.0)
FLAG = Range("flag")
UP_TO_ONE = Range("complement", 0.0, 1.0)
BELOW_ONE = Range("complement", 0.0, 0.99999)
SMALL = Range("log", 0.0, 1.0)
POSITIVE = Range("log", 1e-12, 1.0)
START = Range("log", 0.0, 1e4)
LARGE = Range("log", 1e-3, 1e3)

HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType(
    {
        "learning_rate": Hyperparameter(RATE, "the length of a step; at least 0"),
        "momentum": Hyperparameter(UP_TO_ONE, "the share of the sum of past steps that is kept; in [0, 1]"),
        "dampening": Hyperparameter(
            Range("linear", 0.0, 1.0), "the share of each new gradient that is left out of the sum; in [0, 1]"
        ),
        "nesterov": Hyperparameter(FLAG, "whether to look one step ahead along the momentum"),
        "decay": Hyperparameter(UP_TO_ONE, "the weight of the past in the running average; in [0, 1]"),
        "rho": Hyperparameter(UP_TO_ONE, "the weight of the past in both running averages; in [0, 1]"),
        "b1": Hyperparameter(BELOW_ONE, "the weight of the past in the running mean of gradients; in [0, 1)"),
        "b2": Hyperparameter(BELOW_ONE, "the weight of the past in the running mean of squares; in [0, 1)"),
        "eps": Hyperparameter(SMALL, "keeps the divisor from zero; at least 0; in the units of the gradient"),
        "eps_root": Hyperparameter(SMALL, "added inside the root; at least 0; in squared units of the gradient"),
        "eps_in_sqrt": Hyperparameter(FLAG, "whether eps is added inside the root or outside"),
        "bias_correction": Hyperparameter(FLAG, "whether averages are divided by the sum of their weights so far"),
        "initial_scale": Hyperparameter(START, "the running mean of squares before the first step; at least 0"),
        "initial_accumulator_value": Hyperparameter(START, "the sum of squares before the first step; at least 0"),
        "momentum_decay": Hyperparameter(SMALL, "how fast b1 rises to its limit; at least 0; per step"),
        "maximum_of": Hyperparameter(
            Range("choice", options=("corrected", "raw")),
            "which second moment the maximum is taken of: corrected for its start at 0, or raw",
        ),
        "weight_decay": Hyperparameter(
            SMALL, "the share of the parameters that is added to the step before the rate; at least 0"
        ),
        "eta_minus": Hyperparameter(
            Range("linear", 0.0, 0.99), "the factor of an entry's step size where its sign has changed; in [0, 1)"
        ),
        "eta_plus": Hyperparameter(
            Range("linear", 1.0, 2.0), "the factor of an entry's step size where its sign holds; at least 1"
        ),
        "min_step_size": Hyperparameter(POSITIVE, "the smallest step size of an entry; greater than 0"),
        "max_step_size": Hyperparameter(LARGE, "the largest step size of an entry; greater than 0"),
        "min_learning_rate": Hyperparameter(POSITIVE, "the smallest learning rate of an entry; greater than 0"),
        "max_learning_rate": Hyperparameter(LARGE, "the largest learning rate of an entry; greater than 0"),
    }
)
"""By name, those of optimizers. An entry of the catalog may give one another range."""
